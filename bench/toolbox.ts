import { randomUUID } from 'node:crypto';
import { Daytona, type Sandbox } from '@daytona/sdk';
import WebSocket from 'ws';
import type { Paddock } from '../e2e/support/harness.ts';
import type { Docker } from './docker.ts';
import { atLeast, atMost, measure, row, series, type Figure, type Series } from './stats.ts';

const LOG_MB = 200;

/** What people and agents do inside a running sandbox: commands, sessions, terminals, interpreter, log streams. */
export async function toolbox(paddock: Paddock, docker: Docker | null, quick: boolean): Promise<Figure[]> {
  console.log('\nInside a running sandbox, through the SDK');
  const n = quick ? 40 : 200;
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const sandbox = await daytona.create({ snapshot: 'daytona-medium' });
  try {
    const spawn = await bareSpawn(sandbox, n);
    const idle = await docker?.idle();
    const dockerExec = docker === null ? null : await measure('docker exec true', quick ? 10 : 30, async () => {
      await docker.exec(['exec', idle!, 'true']);
    });
    const exec = await measure(`executeCommand('true')`, n, () => sandbox.process.executeCommand('true'), 20);
    const session = await sessionExec(sandbox, n);
    const pty = await keystrokes(sandbox, n);
    const interpreter = await measure(`codeInterpreter.runCode('1+1')`, n, () => sandbox.codeInterpreter.runCode('1+1'), 10);
    const ratio = (s: Series): string =>
      `${(s.p50 / spawn.p50).toFixed(1)}x a bare spawn${dockerExec === null ? '' : `, ${(dockerExec.p50 / s.p50).toFixed(1)}x faster than docker exec`}`;
    for (const s of [spawn, ...(dockerExec === null ? [] : [dockerExec])]) console.log(row(s));
    for (const s of [exec, session, pty, interpreter]) console.log(row(s, ratio(s)));
    const rate = await logStream(paddock, sandbox);
    console.log(`log stream of ${LOG_MB} MB: ${rate.toFixed(0)} MB/s`);
    return [
      atMost('exec p50 above a bare spawn', exec.p50 - spawn.p50, 3, 'ms'),
      atMost('session exec p50', session.p50, 4, 'ms'),
      atMost('PTY keystroke echo p50', pty.p50, 3, 'ms'),
      atMost('interpreter 1+1 p50, warm', interpreter.p50, 4, 'ms'),
      atLeast('log stream', rate, 100, 'MB/s'),
    ];
  } finally {
    await sandbox.delete();
  }
}

/** `spawn` of `true` inside the same sandbox, by Paddock's own Node. */
async function bareSpawn(sandbox: Sandbox, n: number): Promise<Series> {
  const done = await sandbox.process.executeCommand(`/usr/lib/paddock/bin/node -e '
    const { spawn } = require("node:child_process");
    const samples = [];
    (async () => {
      for (let i = 0; i < ${n}; i++) {
        const began = performance.now();
        await new Promise((resolve) => spawn("/bin/sh", ["-c", "true"], { stdio: ["pipe", "pipe", "pipe"] }).on("close", resolve));
        samples.push(performance.now() - began);
      }
      console.log(JSON.stringify(samples));
    })();'`);
  return series('bare spawn in the sandbox', JSON.parse(done.result) as number[]);
}

async function sessionExec(sandbox: Sandbox, n: number): Promise<Series> {
  const id = `bench-${randomUUID()}`;
  await sandbox.process.createSession(id);
  const result = await measure(`executeSessionCommand('true')`, n, async () => {
    const { exitCode } = await sandbox.process.executeSessionCommand(id, { command: 'true' });
    if (exitCode !== 0) throw new Error(`exit code ${exitCode}`);
  }, 10);
  await sandbox.process.deleteSession(id);
  return result;
}

/** From a key pressed to its echo seen. */
async function keystrokes(sandbox: Sandbox, n: number): Promise<Series> {
  let seen: () => void = () => {};
  const pty = await sandbox.process.createPty({ id: `bench-${randomUUID()}`, cols: 120, rows: 30, onData: () => seen() });
  await pty.waitForConnection();
  await pty.sendInput('cat >/dev/null\n');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const result = await measure('PTY keystroke to echo', n, async () => {
    const echo = new Promise<void>((resolve) => (seen = resolve));
    await pty.sendInput('x');
    await echo;
  }, 10);
  await pty.kill();
  return result;
}

/**
 * With a plain WebSocket client, while the command writes: the SDK's own splitting of the two streams takes a core for itself at
 * a tenth of the rate and would be all that is measured.
 */
async function logStream(paddock: Paddock, sandbox: Sandbox): Promise<number> {
  const id = `bench-${randomUUID()}`;
  await sandbox.process.createSession(id);
  const { cmdId } = await sandbox.process.executeSessionCommand(id, { command: `head -c ${LOG_MB}000000 /dev/zero | tr '\\0' 'y'`, runAsync: true });
  const url = `${sandbox.toolboxProxyUrl}/${sandbox.id}/process/session/${id}/command/${cmdId}/logs?follow=true`.replace(/^http/, 'ws');
  const began = performance.now();
  let bytes = 0;
  const socket = new WebSocket(url, { headers: { 'Authorization': `Bearer ${paddock.apiKey}`, 'X-Daytona-SDK-Version': '0.216.0' } });
  // Each frame begins with the three bytes that name its stream.
  socket.on('message', (frame: Buffer) => (bytes += frame.length - 3));
  await new Promise((resolve, reject) => socket.on('close', resolve).on('error', reject));
  const seconds = (performance.now() - began) / 1000;
  if (bytes < LOG_MB * 1_000_000) throw new Error(`only ${bytes} bytes of the log arrived`);
  await sandbox.process.deleteSession(id);
  return LOG_MB / seconds;
}
