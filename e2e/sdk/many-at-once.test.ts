import * as sdk from '@daytona/sdk';
import { expect, test } from 'vitest';
import { withSandbox } from './support.ts';

const COUNT = 200;
const each = <T>(use: (at: number) => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: COUNT }, (_, at) => use(at)));

test('two hundred sessions of one sandbox work at once through the gateway, and none is lost', async () => {
  await withSandbox(sdk, {}, async ({ process: run }) => {
    await each((at) => run.createSession(`s${at}`));
    for (let round = 1; round <= 3; round++) {
      const replies = await each((at) => run.executeSessionCommand(`s${at}`, { command: `N=$((N + ${at})); echo $N; echo e$N >&2; (exit ${at % 50})` }));
      expect(replies.map(({ stdout, stderr, exitCode }) => [stdout, stderr, exitCode])).toEqual(replies.map((_, at) => [`${at * round}\n`, `e${at * round}\n`, at % 50]));
    }
    expect(new Set((await run.listSessions()).map(({ sessionId }) => sessionId)).size).toBe(COUNT);
    await each((at) => run.deleteSession(`s${at}`));
    expect(await run.listSessions()).toEqual([]);
  });
}, 120_000);

test('two hundred terminals of one sandbox work at once through the gateway, each with its own output and exit code', async () => {
  await withSandbox(sdk, {}, async ({ process: run }) => {
    const screens = Array.from({ length: COUNT }, () => '');
    const terminals = await each(async (at) => {
      const decoder = new TextDecoder();
      return await run.createPty({ id: `p${at}`, onData: (data) => void (screens[at] += decoder.decode(data, { stream: true })) });
    });
    expect(new Set((await run.listPtySessions()).filter(({ active }) => active).map(({ id }) => id)).size).toBe(COUNT);
    await each((at) => terminals[at]!.sendInput(`stty -opost; seq 1 1000; echo "<${at}:$((${at} * 7))>"; exit ${at % 50}\n`));
    const ends = await each((at) => terminals[at]!.wait());
    expect(ends.map(({ exitCode }) => exitCode)).toEqual(ends.map((_, at) => at % 50));
    const lines = Array.from({ length: 1000 }, (_, at) => `${at + 1}\n`).join('');
    expect(screens.filter((text, at) => !text.includes(`${lines}<${at}:${at * 7}>`)).map((text) => text.slice(-300))).toEqual([]);
    expect(await run.listPtySessions()).toEqual([]);
  });
}, 120_000);
