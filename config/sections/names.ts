import Type from '../../contracts/typebox.js';

/** Of tiers, domains and endpoints. An expectation is the rule in words, for errors and the reference. */
export const namePattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$';
export const nameExpectation = 'a name of 1 to 64 letters, digits, `.`, `_` and `-`';
export const Name = Type.String({ pattern: namePattern });

export const modelNamePattern = '^[A-Za-z0-9@][!-~]{0,255}$';
export const modelNameExpectation = 'a model name of 1 to 256 visible ASCII characters';
export const ModelName = Type.String({ pattern: modelNamePattern });
