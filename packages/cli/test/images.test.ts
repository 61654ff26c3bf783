import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, type TestRunner } from '../../runner/test/support.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

describe('paddock images', () => {
  let runner: TestRunner;

  beforeAll(async () => {
    runner = await bootRunner();
  });
  afterAll(() => runner?.destroy());

  const paddock = (...args: string[]): Promise<{ code: number; out: string }> => new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'images', ...args], { encoding: 'utf8', env: { ...process.env, PADDOCK_DATA_DIR: runner.layout.dataDir } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), out: stdout + stderr });
    });
  });

  it('lists what there is and what could be made', async () => {
    const { code, out } = await paddock('list');
    expect(code).toBe(0);
    expect(out).toMatch(/^slim +ready +\d+ MB$/m);
    expect(out).toMatch(/^sandbox +not made +paddock images build sandbox$/m);
  });

  it('makes an image, says that it is there, and removes it', async () => {
    expect(await paddock('build', 'builder')).toMatchObject({ code: 0, out: expect.stringMatching(/^builder is ready: \d+ MB\n$/m) });
    expect(await paddock('build', 'builder')).toEqual({ code: 0, out: 'builder is there already. For a new version give it another name with --as.\n' });
    expect(await paddock('remove', 'builder')).toEqual({ code: 0, out: '' });
    expect((await paddock('list')).out).toMatch(/^builder +not made/m);
  });

  it.each([
    [['build', 'nothing'], 'paddock: there is no image "nothing"; there are: builder, sandbox, slim\n'],
    [['build', '../slim'], 'paddock: there is no image "../slim"; there are: builder, sandbox, slim\n'],
    [['build', 'builder', '--as', 'thin'], 'paddock: "builder" is made from a recipe and has that name only\n'],
    [['build', 'sandbox', '--as', 'build-x'], 'paddock: "build-x" cannot be an image\'s name: letters, digits, dot, dash and underscore, and not sha256-, build- or sandbox- in front\n'],
    [['remove', 'nothing'], 'paddock: there is no image "nothing"; `paddock images list` says which there are\n'],
    [['remove', '../slim'], 'paddock: there is no image "../slim"; `paddock images list` says which there are\n'],
    [['remove', `sandbox-${'0'.repeat(8)}`], 'paddock: "sandbox-00000000" is kept and removed by the server: delete the snapshots and sandboxes that are made of it\n'],
    [['list', '--data-dir', '/nonexistent'], 'paddock: no server runs on this data directory: start it with `paddock up`\n'],
  ])('refuses %j', async (args, out) => expect(await paddock(...args)).toEqual({ code: 1, out }));
});
