import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseArguments } from '../../bench/arguments.js';

const test = suite('arguments of the benchmarks');

const known = ['execute', 'loop', 'start'];
const parse = (...argv: string[]) => parseArguments(argv, known);

test('without a name all scenarios are run', () => {
  assert.equal(parse(), { kind: 'run', names: known, seed: 1, output: 'bench-results' });
});

test('names are run once, in the order of the suite', () => {
  const command = parse('start', 'execute', 'start');
  assert.equal(command.kind === 'run' && command.names, ['execute', 'start']);
});

test('seed, rounds, seconds and output are taken', () => {
  assert.equal(parse('loop', '--seed', '0', '--rounds=2', '--seconds', '3', '--output', 'there'), {
    kind: 'run',
    names: ['loop'],
    seed: 0,
    rounds: 2,
    seconds: 3,
    output: 'there',
  });
});

test('what is wrong is said', () => {
  const messageOf = (...argv: string[]) => {
    const command = parse(...argv);
    return command.kind === 'wrong' ? command.message : undefined;
  };
  assert.match(messageOf('nothing')!, /no scenario nothing; known: execute, loop, start/);
  for (const value of ['0', '1.5', '-1', 'x', ''])
    assert.match(messageOf(`--rounds=${value}`)!, /--rounds takes a whole number above 0/);
  assert.match(messageOf('--seed=x')!, /--seed takes a whole number/);
  assert.match(messageOf('--unknown')!, /unknown/);
  assert.match(messageOf('--compare', 'a.json')!, /two JSON files/);
  assert.match(messageOf('--compare', 'a', 'b', 'c')!, /two JSON files/);
});

test('--compare takes two files', () => {
  assert.equal(parse('--compare', 'a.json', 'b.json'), {
    kind: 'compare',
    before: 'a.json',
    after: 'b.json',
  });
  assert.is(parse('--help').kind, 'help');
});

test.run();
