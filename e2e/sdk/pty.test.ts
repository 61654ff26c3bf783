import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { SDKS, unique, withSandbox } from './support.ts';

/** Collects what a terminal shows. */
function screen(): { onData: (data: Uint8Array) => void; sees: (text: string) => Promise<void>; text: () => string } {
  let text = '';
  const decoder = new TextDecoder();
  return {
    onData: (data) => void (text += decoder.decode(data, { stream: true })),
    text: () => text,
    async sees(wanted) {
      for (let left = 500; !text.includes(wanted); left--) {
        if (left === 0) throw new Error(`never saw ${wanted}: ${text.slice(-1000)}`);
        await sleep(20);
      }
    },
  };
}

describe.each(SDKS)('PTY with %s', (_name, sdk) => {
  test('a terminal from its prompt to its exit code', async () => {
    await withSandbox(sdk, { envVars: { FROM_SANDBOX: 'sandbox' } }, async ({ process: run }) => {
      const id = unique('pty');
      const shown = screen();
      const pty = await run.createPty({ id, cols: 100, rows: 30, cwd: '/tmp', envs: { FROM_CALL: 'a "b" ü' }, onData: shown.onData });
      expect(pty.isConnected()).toBe(true);
      await shown.sees('$ ');
      await pty.sendInput('echo "$FROM_SANDBOX|$FROM_CALL|$TERM|$PWD|$(whoami)"; stty size\n');
      await shown.sees('sandbox|a "b" ü|xterm-256color|/tmp|daytona');
      await shown.sees('30 100');
      expect(await pty.resize(140, 50)).toMatchObject({ cols: 140, rows: 50, active: true });
      await pty.sendInput('stty size\n');
      await shown.sees('50 140');
      expect((await run.listPtySessions()).map((session) => session.id)).toEqual([id]);
      await pty.sendInput('exit 42\n');
      expect(await pty.wait()).toEqual({ exitCode: 42, error: 'non-zero exit' });
      expect(await run.listPtySessions()).toEqual([]);
      await expect(run.getPtySessionInfo(id)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
      await expect(run.resizePtySession(id, 80, 24)).rejects.toMatchObject({ statusCode: 410 });
    });
  });

  test('reconnecting, Ctrl+C, killing, and an id that is taken', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      const id = unique('pty');
      const first = screen();
      const pty = await run.createPty({ id, onData: first.onData });
      await pty.sendInput('X=kept; sleep 1000\n');
      await first.sees('sleep 1000');
      await expect(run.createPty({ id, onData: () => undefined })).rejects.toThrow();
      await pty.disconnect();
      const second = screen();
      const again = await run.connectPty(id, { onData: second.onData });
      await again.sendInput('\x03');
      await again.sendInput('echo "<$X>"\n');
      await second.sees('<kept>');
      await again.kill();
      expect(await again.wait()).toEqual({ exitCode: 137, error: 'SIGKILL' });
      await expect(run.killPtySession(id)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
      await expect(run.connectPty(id, { onData: () => undefined })).rejects.toThrow(/not found/);
    });
  });

  test('a megabyte passes whole and in order', async () => {
    await withSandbox(sdk, {}, async ({ process: run }) => {
      const shown = screen();
      const pty = await run.createPty({ id: unique('pty'), onData: shown.onData });
      await pty.sendInput('stty -opost; seq 100000 299999; exit\n');
      expect((await pty.wait()).exitCode).toBe(0);
      expect(shown.text()).toContain(Array.from({ length: 200_000 }, (_, at) => `${100_000 + at}\n`).join(''));
    });
  });
});
