import { readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { leavesOnly, processesOf, unusedUid } from './processes.ts';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';

/** Cases of each protocol. */
const RUNS = Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 100);
/** Longest that the toolbox may take to let go of a client that has said good-bye. */
const GOODBYE_MS = 10_000;
/** A user of this run alone: what it runs at the end has leaked. */
const UID = unusedUid();

const TEST_TIMEOUT_MS = 60_000 + RUNS * 200;

/** One client: a handshake, whatever it sends afterwards, and how it leaves. */
interface Visit {
  readonly path: string;
  readonly headers: readonly string[];
  readonly frames: readonly Buffer[];
  readonly early: boolean;
  readonly leaving: 'close' | 'end' | 'destroy';
}

const text = fc.oneof(
  fc.constantFrom('', '\0', '\x03', '\x04', '\x1a', 'exit\n', 'exit 3\r', '\x1b[A', '{}', '[]', 'null', '{"rows":10,"cols":20}', '{"rows":-1,"cols":1e9}', '{"rows":"x"}', 'é✓𝄞', '\ud800', 'x'.repeat(70_000)),
  fc.string({ unit: fc.constantFrom('a', '1', '\x7f', '\x1b', '\t', '\0', '"', '{', '}', 'é', '\ud800'), maxLength: 40 }),
).map((it) => Buffer.from(it));
const bytes = fc.uint8Array({ maxLength: 40 }).map((it) => Buffer.from(it)).filter((it) => !it.includes(10) && !it.includes(13));

/** Field values that a careless client may send. Code is none of them: what runs is chosen below. */
const value: fc.Arbitrary<unknown> = fc.oneof(fc.constantFrom('', 'none', '\0', '../..', -1, 0, 1e-9, 1e308, 1.5, true, null, [], {}), fc.string({ maxLength: 10 }), fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), { maxKeys: 3 }));
const CODE = ['1', 'print("x" * 100000)', 'raise ValueError', 'input()', 'def', '\0', 'import os; os._exit(3)', 'import os; os.close(0); os.close(1); os.close(2)', 'import sys; sys.exit(1)', 'raise KeyboardInterrupt', 'print("\\ud800")'];
const run = fc.record({ code: fc.oneof({ weight: 5, arbitrary: fc.constantFrom<unknown>(...CODE) }, fc.constantFrom<unknown>('', 7, null, [], '#'.repeat(1000))), contextId: value, timeout: value, envs: value }, { requiredKeys: [] })
  .map((it) => Buffer.from(JSON.stringify(it)));

const payload = (more: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> => fc.oneof(text, bytes, more);
const good = (content: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> => fc.tuple(fc.constantFrom(1, 2), payload(content)).map(([opcode, body]) => frame(body, { opcode }));
const odd = (content: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> => fc.oneof(
  fc.record({ opcode: fc.nat(15), fin: fc.boolean(), reserved: fc.nat(7), masked: fc.boolean(), body: payload(content), claimed: fc.option(fc.constantFrom(0, 125, 126, 65_536, 2 ** 31, 2 ** 53), { freq: 5 }) })
    .map(({ body, ...head }) => frame(body, head)),
  bytes,
);

const protocols = fc.array(fc.oneof(
  fc.constantFrom('X-Daytona-Pty-Exit-Control', 'X-Daytona-SDK-Version~0.216.0', 'X-Daytona-Pty-Exit-Control', 'X-Daytona-SDK-Version~0.218.0', 'X-Daytona-SDK-Version~', 'chat'),
  fc.constantFrom('X-Daytona-Pty-Envs~', 'X-Daytona-Pty-Envs~!!', ',', 'a b', '"'),
  fc.constantFrom<unknown>({ A: '1' }, { A: '2' }, { A: '3' }, { A: 1 }, { '': '' }, { 'A=B': '\0' }, [], null, 'x').map((envs) => `X-Daytona-Pty-Envs~${Buffer.from(JSON.stringify(envs)).toString('base64url')}`),
), { maxLength: 3 });
const headers = fc.record({
  version: fc.oneof({ weight: 9, arbitrary: fc.constant('13') }, fc.constantFrom('8', '0', '', 'x')),
  key: fc.oneof({ weight: 9, arbitrary: fc.constant('dGhlIHNhbXBsZSBub25jZQ==') }, fc.constantFrom('', 'x', 'dGhl')),
  protocols: fc.oneof(fc.constant<string[]>([]), protocols), origin: fc.constantFrom('', 'null', 'https://evil.example'),
}).map(({ version, key, protocols: offered, origin }) => [
  `Sec-WebSocket-Version: ${version}`, `Sec-WebSocket-Key: ${key}`, ...(offered.length > 0 ? [`Sec-WebSocket-Protocol: ${offered.join(', ')}`] : []), ...(origin === '' ? [] : [`Origin: ${origin}`]),
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
]);

const visits = (path: fc.Arbitrary<string>, content: fc.Arbitrary<Buffer>): fc.Arbitrary<Visit> => fc.record({
  path, headers, early: fc.boolean(), leaving: fc.constantFrom('close', 'end', 'destroy'),
  frames: fc.array(fc.oneof({ weight: 4, arbitrary: good(content) }, odd(content)), { maxLength: 6 }),
});

const segment = fc.constantFrom('none', '%00', '%', '..', '%2e%2e', 'x'.repeat(300), '%F0%9F%98%80', '%ed%a0%80');

test('terminals: no hostile client gets a 5xx, hangs, ends the toolbox or leaves a process', async () => {
  const toolbox = await startToolbox({ uid: UID });
  await toolbox.post('/process/pty', { id: 'lazy', lazyStart: true });
  const connect = fc.tuple(fc.oneof({ weight: 4, arbitrary: fc.constantFrom('live', 'lazy') }, segment), fc.constantFrom('', '?replay=true', '?replay=', '?%')).map(([id, query]) => `/process/pty/${id}/connect${query}`);
  const create = fc.record({ id: fc.oneof({ weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c') }, segment), cols: fc.constantFrom('', '80', '90', '120', '1000', '1001', '-1', 'x', '99999999999'), cwd: fc.constantFrom('', '', '/tmp', '/', 'none', '%00', '/dev/null') }, { requiredKeys: ['id'] })
    .map((query) => `/process/pty/create-connect?${Object.entries(query).map((pair) => pair.join('=')).join('&')}`);
  await hold(toolbox, visits(fc.oneof(connect, create), text), async () => {
    const { sessions } = (await toolbox.get('/process/pty')).json as { sessions: { id: string }[] };
    const ids = sessions.map(({ id }) => id);
    if (!ids.includes('live')) await toolbox.post('/process/pty', { id: 'live' });
    if (!ids.includes('lazy')) await toolbox.post('/process/pty', { id: 'lazy', lazyStart: true });
    for (const id of ids) if (id !== 'live' && id !== 'lazy') await toolbox.send('DELETE', `/process/pty/${encodeURIComponent(id)}`);
  });
  for (const { id } of (await toolbox.get('/process/pty')).json.sessions) expect((await toolbox.send('DELETE', `/process/pty/${encodeURIComponent(id)}`)).status).toBe(200);
  await leavesOnly(toolbox, UID, 0);
}, TEST_TIMEOUT_MS);

test('the interpreter: no hostile client gets a 5xx, hangs, ends the toolbox or leaves a process', async () => {
  const toolbox = await startToolbox({ uid: UID });
  await hold(toolbox, visits(fc.constantFrom('/process/interpreter/execute', '/process/interpreter/execute?x', '/process/interpreter/execute/'), run));
  const reply = await toolbox.post('/process/interpreter/context', {});
  expect(reply.status).toBe(200);
  expect((await toolbox.send('DELETE', `/process/interpreter/context/${reply.json.id}`)).status).toBe(200);
  // The default context keeps its interpreter.
  await leavesOnly(toolbox, UID, 1);
}, TEST_TIMEOUT_MS);

test('log streams: no hostile client gets a 5xx, hangs, ends the toolbox or leaves a process', async () => {
  const toolbox = await startToolbox({ uid: UID });
  await toolbox.post('/init', { token: 't', entrypoint: ['sh', '-c', 'echo hello; sleep 1000'] });
  await toolbox.post('/process/session', { sessionId: 's' });
  const { cmdId: short } = (await toolbox.post('/process/session/s/exec', { command: 'seq 100000' })).json;
  const { cmdId: long } = (await toolbox.post('/process/session/s/exec', { command: 'echo x; sleep 1000', runAsync: true })).json;
  const id = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(short as string, long as string) }, segment);
  const paths = fc.tuple(fc.constantFrom('s', 's', 's', 's', 's', 's', 'entrypoint', 'none', '%00'), id, fc.constantFrom('', '?follow=true', '?follow=x', '?%')).map(([session, command, query]) => `/process/session/${session}/command/${command}/logs${query}`);
  const entrypoint = fc.constantFrom('', '?follow=true').map((query) => `/process/session/entrypoint/logs${query}`);
  await hold(toolbox, visits(fc.oneof({ weight: 3, arbitrary: paths }, entrypoint), text));
  expect((await toolbox.send('DELETE', '/process/session/s')).status).toBe(204);
  expect(await toolbox.stop()).toBe(0);
  // The entrypoint outlives the toolbox.
  for (const pid of processesOf(UID)) process.kill(pid, 'SIGKILL');
}, TEST_TIMEOUT_MS);

test('a client whose upgrade is refused is let go, whatever it has sent', async () => {
  const toolbox = await startToolbox();
  await toolbox.get('/version');
  const before = connections(toolbox);
  const refused = { path: '/process/session/none/command/none/logs', headers: ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='], frames: [frame(Buffer.alloc(100_000), { opcode: 2 })], early: true };
  for (let client = 0; client < 30; client++) expect(await visit(toolbox.socketPath, { ...refused, leaving: client % 2 === 0 ? 'close' : 'end' })).toBe(404);
  await letsGo(toolbox, before);
});

/** Lets the clients come, each alone, and looks whether the toolbox still serves after each. */
async function hold(toolbox: Toolbox, clients: fc.Arbitrary<Visit>, prepare: () => Promise<void> = async () => undefined): Promise<void> {
  await toolbox.get('/version');
  const before = connections(toolbox);
  await fc.assert(fc.asyncProperty(clients, async (client) => {
    await prepare();
    const status = await visit(toolbox.socketPath, client);
    expect([status, client.path]).toEqual([expect.toSatisfy((it: number | null) => it === null || it < 500), client.path]);
    expect(toolbox.child.exitCode).toBeNull();
  }), { numRuns: RUNS });
  expect((await toolbox.get('/version')).status).toBe(200);
  expect(toolbox.child.exitCode).toBeNull();
  await letsGo(toolbox, before);
}

/** Listeners that open a moment after the start, and pipes to programs that are kept, are sockets too. */
const OTHER_SOCKETS = 6;

/** Waits until what the clients held is free again. */
async function letsGo(toolbox: Toolbox, before: number): Promise<void> {
  await eventually(() => connections(toolbox) <= before + OTHER_SOCKETS).catch(() => expect(connections(toolbox)).toBeLessThanOrEqual(before + OTHER_SOCKETS));
}

function connections(toolbox: Toolbox): number {
  const dir = `/proc/${toolbox.child.pid}/fd`;
  return readdirSync(dir).filter((fd) => {
    try {
      return readlinkSync(`${dir}/${fd}`).startsWith('socket:');
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

/** @returns the status of the handshake, null when the client left before it came */
function visit(socketPath: string, { path, headers: lines, frames, early, leaving }: Visit): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    let said = '';
    let sent = false;
    const hang = setTimeout(() => {
      socket.destroy();
      reject(new Error(`still connected ${GOODBYE_MS} ms after ${leaving}; it said ${JSON.stringify(said.slice(0, 200))}`));
    }, GOODBYE_MS);
    const leave = (): void => {
      sent = true;
      for (const item of frames) socket.write(item);
      if (leaving === 'close') socket.write(frame(Buffer.from([0x03, 0xe8]), { opcode: 8 }));
      // A peer that counts on bytes of a frame that never come would wait for ever.
      if (leaving === 'close') setTimeout(() => socket.end(), 50);
      else if (leaving === 'end') socket.end();
      else socket.destroy();
    };
    socket.on('connect', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines.join('\r\n')}\r\n\r\n`);
      if (early) leave();
    });
    socket.on('data', (chunk: Buffer) => {
      if (said.length < 1000) said += chunk.toString('latin1');
      if (sent) return;
      if (statusOf(said) === 101) leave();
      else socket.end();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(hang);
      resolve(statusOf(said));
    });
  });
}

const statusOf = (said: string): number | null => {
  const found = /^HTTP\/1\.1 (\d{3}) /.exec(said);
  return found === null ? null : Number(found[1]);
};

interface Head {
  readonly opcode: number;
  readonly fin?: boolean;
  readonly reserved?: number;
  readonly masked?: boolean;
  /** Length that the head tells in place of the true one. */
  readonly claimed?: number | null;
}

function frame(body: Buffer, { opcode, fin = true, reserved = 0, masked = true, claimed }: Head): Buffer {
  const length = claimed ?? body.length;
  const long = length > 65_535 ? 127 : length > 125 ? 126 : length;
  const head = Buffer.alloc(long === 127 ? 10 : long === 126 ? 4 : 2);
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | long;
  if (long === 127) head.writeBigUInt64BE(BigInt(length), 2);
  else if (long === 126) head.writeUInt16BE(length, 2);
  if (!masked) return Buffer.concat([head, body]);
  const mask = Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([head, mask, body.map((byte, at) => byte ^ mask[at % 4]!)]);
}
