import { describe, expect, test } from 'vitest';
import { SDKS, unique, withSandbox } from './support.ts';

const soon = async (holds: () => Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 10_000; !(await holds());) {
    if (Date.now() > end) throw new Error('the condition did not come to hold');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

describe.each(SDKS)('%s', (_name, sdk) => {
  test('a session keeps its state, splits its output and tells exit codes', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const id = unique('session');
      await sandbox.process.createSession(id);
      expect(await sandbox.process.executeSessionCommand(id, { command: 'cd /usr; export WHO=me; greet() { echo "hi $WHO"; echo oops >&2; }' })).toMatchObject({ exitCode: 0 });
      expect(await sandbox.process.executeSessionCommand(id, { command: 'greet; pwd; id -un; (exit 7)' })).toMatchObject({ exitCode: 7, stdout: 'hi me\n/usr\ndaytona\n', stderr: 'oops\n' });
      await expect(sandbox.process.createSession(id)).rejects.toBeInstanceOf(sdk.DaytonaConflictError);
      const session = await sandbox.process.getSession(id);
      expect(session.commands).toHaveLength(2);
      expect((await sandbox.process.listSessions()).map(({ sessionId }) => sessionId)).toEqual([id]);
      const before = Date.now();
      await sandbox.process.executeSessionCommand(id, { command: 'sudo sleep 1000 & sleep 1000', runAsync: true });
      await sandbox.process.deleteSession(id);
      expect(Date.now() - before).toBeLessThan(7000);
      expect((await sandbox.process.executeCommand('pgrep -c sleep')).result.trim()).toBe('0');
      await expect(sandbox.process.getSession(id)).rejects.toBeInstanceOf(sdk.DaytonaNotFoundError);
    });
  });

  test('logs are followed while the command asks and answers, to the last byte', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const id = unique('session');
      await sandbox.process.createSession(id);
      const { cmdId } = await sandbox.process.executeSessionCommand(id, { command: 'printf "Name? "; read name; echo "Hello $name"; echo done >&2; seq 1 5000', runAsync: true, suppressInputEcho: true });
      let out = '';
      let err = '';
      const followed = sandbox.process.getSessionCommandLogs(id, cmdId, (text) => (out += text), (text) => (err += text));
      await soon(async () => out === 'Name? ');
      await sandbox.process.sendSessionCommandInput(id, cmdId, 'Ada');
      await followed;
      const expected = `Name? Hello Ada\n${Array.from({ length: 5000 }, (_, at) => `${at + 1}\n`).join('')}`;
      expect([out, err]).toEqual([expected, 'done\n']);
      expect(await sandbox.process.getSessionCommandLogs(id, cmdId)).toMatchObject({ stdout: expected, stderr: 'done\n' });
      expect((await sandbox.process.getSessionCommand(id, cmdId)).exitCode).toBe(0);
      await expect(sandbox.process.sendSessionCommandInput(id, cmdId, 'late')).rejects.toMatchObject({ statusCode: 410 });
    });
  });

  test('a session whose shell has ended says so and does not hang', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const id = unique('session');
      await sandbox.process.createSession(id);
      expect(await sandbox.process.executeSessionCommand(id, { command: 'set -e; false; echo not reached' })).toMatchObject({ exitCode: 1, stdout: '' });
      await expect(sandbox.process.executeSessionCommand(id, { command: 'true' })).rejects.toMatchObject({ statusCode: 410, message: expect.stringContaining('ended') });
    });
  });
});
