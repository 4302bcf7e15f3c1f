/**
 * What Piscina loads into a thread. It loads by `require()`, and Node ends the whole process when a thread is ended
 * while `require()` links an ES module (`v8::Module::IsGraphAsync must be used on an instantiated module`); while
 * `import()` links one, it does not.
 */
const thread = import('./thread.js');

export = {
  batch: thread.then(({ batch }) => batch),
  parse: thread.then(({ parse }) => parse),
  parseMessage: thread.then(({ parseMessage }) => parseMessage),
  read: thread.then(({ read }) => read),
  warm: thread.then(({ warm }) => warm),
};
