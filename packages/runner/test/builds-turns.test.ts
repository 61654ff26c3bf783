import { expect, test } from 'vitest';
import { Turns } from '../src/builds/turns.ts';

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Tasks that end when told to, and what has begun so far. */
function tasks(turns: Turns) {
  const begun: string[] = [];
  const endings = new Map<string, () => void>();
  const start = (organization: string, name: string, signal = new AbortController().signal): Promise<string> => turns.run(organization, signal, () => new Promise((resolve) => {
    begun.push(name);
    endings.set(name, () => resolve(name));
  }));
  return { begun, start, end: async (name: string) => (endings.get(name)!(), tick()) };
}

test('one of an organization and so many in all run at a time, in the order they came', async () => {
  const { begun, start, end } = tasks(new Turns(2));
  const all = [start('a', 'a1'), start('a', 'a2'), start('b', 'b1'), start('c', 'c1')];
  await tick();
  expect(begun).toEqual(['a1', 'b1']);
  await end('b1');
  expect(begun).toEqual(['a1', 'b1', 'c1']);
  await end('a1');
  expect(begun).toEqual(['a1', 'b1', 'c1', 'a2']);
  await end('a2');
  await end('c1');
  expect(await Promise.all(all)).toEqual(['a1', 'a2', 'b1', 'c1']);
});

test('one that fails gives its turn on; one that is no longer wanted never gets it', async () => {
  const turns = new Turns(1);
  const { begun, start, end } = tasks(turns);
  await expect(turns.run('a', new AbortController().signal, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const abort = new AbortController();
  const first = start('a', 'first');
  const unwanted = start('b', 'unwanted', abort.signal);
  const last = start('c', 'last');
  abort.abort(new Error('deleted'));
  await expect(unwanted).rejects.toThrow('deleted');
  await expect(start('d', 'never', abort.signal)).rejects.toThrow('deleted');
  await end('first');
  await end('last');
  await Promise.all([first, last]);
  expect(begun).toEqual(['first', 'last']);
});

test('what is done to an idle organization holds its builds off and is left out while one runs', async () => {
  const turns = new Turns(2);
  const { begun, start, end } = tasks(turns);
  let finish = (): void => {};
  const collecting = turns.ifIdle('a', () => new Promise((resolve) => (finish = resolve)));
  const build = start('a', 'build');
  await tick();
  expect(begun).toEqual([]);
  finish();
  await collecting;
  await tick();
  expect(begun).toEqual(['build']);
  await turns.ifIdle('a', () => Promise.reject(new Error('must not run')));
  await end('build');
  await build;
});
