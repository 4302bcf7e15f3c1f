import { parseArgs } from 'node:util';
import { type Scope, scopes } from '../../contracts/tokens.js';
import { addToken, readTokenFile, revokeToken } from './token-file.js';

/** `npm run tokens -- add|list|revoke`: the bearer tokens of the service. */
const usage = `Usage: npm run tokens -- COMMAND --file FILE
  add NAME --scopes ${scopes.join(',')} [--expires 2027-01-01T00:00:00Z]   makes a token and prints it, once
  list                                                              names, scopes and expiry
  revoke NAME                                                       takes a token away
FILE is what server.tokens_file (API_TOKENS) names; a running service reads it again when it changes.
`;

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      file: { type: 'string', default: process.env.API_TOKENS },
      scopes: { type: 'string', default: 'execute,read' },
      expires: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const [command, name] = positionals;
  const { file } = values;
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (file === undefined || command === undefined || (command !== 'list' && name === undefined)) {
    process.stderr.write(usage);
    return 2;
  }
  switch (command) {
    case 'add': {
      const expires = values.expires === undefined ? {} : { expires_at: values.expires };
      const token = addToken(file, { name: name!, scopes: values.scopes.split(',') as Scope[], ...expires });
      process.stdout.write(`${token}\n`);
      return 0;
    }
    case 'list':
      for (const { name, scopes, expires_at } of readTokenFile(file).tokens)
        process.stdout.write(`${name}\t${scopes.join(',')}\t${expires_at ?? 'does not expire'}\n`);
      return 0;
    case 'revoke':
      revokeToken(file, name!);
      return 0;
    default:
      process.stderr.write(usage);
      return 2;
  }
}
