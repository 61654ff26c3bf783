import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { layoutOf, toolboxSocket } from '@paddock/contract';
import { createSshGateway, type RoutedSandbox, type SshGateway } from '../src/index.ts';
import { until } from './helpers.ts';

/** The gateway between OpenSSH's client and an SSH server of the ssh2 package that stands for the toolbox. */
const ID = '11111111-2222-3333-4444-555555555555';
const TOKEN = 'AbcdefghijklmnopqrstuvwxyzABCDEF';
const BIG = randomBytes(6_000_000);

let dir: string;
let gateway: SshGateway;
let front: Server;
let toolbox: HttpServer;
let port: number;
let state: RoutedSandbox['state'] = 'started';
const touched: string[] = [];
const outcomes: string[] = [];
const seen: unknown[] = [];
const changed = new Set<(id: string) => void>();
const revoked = new Set<(sandboxId: string | null) => void>();
let standing = new Set<string>();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ssh-relay-'));
  const layout = layoutOf(join(dir, 'data'), dir);
  const socketPath = toolboxSocket(layout, ID);
  mkdirSync(dirname(socketPath), { recursive: true });
  const ssh = new ssh2.Server({ hostKeys: [ssh2.utils.generateKeyPairSync('ed25519').private] }, serveSandbox);
  toolbox = createHttpServer();
  toolbox.on('upgrade', (req, socket) => {
    expect([req.url, req.headers.upgrade]).toEqual(['/ssh', 'ssh']);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ssh\r\n\r\n');
    ssh.injectSocket(socket as never);
  });
  await new Promise<void>((resolve) => toolbox.listen(socketPath, resolve));
  gateway = createSshGateway(layout, {
    sandboxes: {
      sandbox: () => ({ id: ID, organizationId: 'o', state, public: false, authToken: 't', signingKey: null }),
      touch: (id) => void touched.push(id),
      onSandboxChanged: (listener) => { changed.add(listener); return () => void changed.delete(listener); },
    },
    access: async (token) => (token === TOKEN ? { id: 'access', sandboxId: ID } : null),
    onRevoked: (listener) => { revoked.add(listener); return () => void revoked.delete(listener); },
    remaining: async () => standing,
    report: ({ outcome }) => void outcomes.push(outcome),
  }, Buffer.alloc(32, 3));
  front = createServer((socket) => gateway.serve(socket));
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  port = (front.address() as AddressInfo).port;
});

afterAll(() => {
  gateway.close();
  front.close();
  toolbox.closeAllConnections();
  toolbox.close();
  rmSync(dir, { recursive: true, force: true });
});

function serveSandbox(client: ssh2.Connection): void {
  client.on('authentication', (context) => (context.method === 'none' ? context.accept() : context.reject()));
  client.on('error', () => undefined);
  client.on('session', (accept) => {
    const session = accept();
    session.on('env', (ok, _no, info) => { seen.push(info); ok?.(); });
    session.on('pty', (ok, _no, info) => { seen.push({ cols: info.cols, rows: info.rows, term: (info as { term?: string }).term }); ok?.(); });
    session.on('exec', (ok, _no, { command }) => {
      const channel = ok();
      if (command === 'cat') return void channel.pipe(channel).on('finish', () => channel.exit(0));
      if (command === 'big') return void channel.end(BIG, () => undefined).exit(0);
      if (command === 'wait') return void channel.write('waiting\n');
      if (command === 'killed') { channel.exit('TERM', false, ''); return void channel.end(); }
      channel.stderr.write(`no ${command}\n`);
      channel.exit(42);
      channel.end();
    });
  });
  client.on('tcpip', (accept) => void accept().end('tunnelled\n'));
  client.on('request', (accept, _reject, name, info) => {
    accept?.();
    if (name === 'tcpip-forward') {
      const { bindAddr, bindPort } = info as { bindAddr: string; bindPort: number };
      client.forwardOut(bindAddr, bindPort, '127.0.0.1', 5, (error, channel) => { seen.push(error ?? 'reverse'); channel?.end('from the sandbox\n'); });
    }
  });
}

const OPTIONS = ['-F', '/dev/null', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'GlobalKnownHostsFile=/dev/null', '-o', 'BatchMode=yes'];

function ssh(args: string[], user = TOKEN, input = ''): Promise<{ code: number | string | null; out: Buffer; err: string }> {
  return new Promise((resolve) => {
    const child = execFile('ssh', [...OPTIONS, '-p', String(port), ...args.slice(0, -1), `${user}@127.0.0.1`, ...args.slice(-1).filter(Boolean)],
      { encoding: 'buffer', maxBuffer: 1e8, timeout: 20_000 }, (error, out, err) => resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, out, err: err.toString() }));
    child.stdin?.end(input);
  });
}

test('a command, its output on two streams and its exit status', async () => {
  expect(await ssh(['nothing'])).toMatchObject({ code: 42, err: expect.stringContaining('no nothing\n') });
  expect(touched).toContain(ID);
});

test('end of input reaches the command', async () => {
  expect((await ssh(['cat'], TOKEN, 'hello')).out.toString()).toBe('hello');
});

test('much output arrives whole', async () => {
  expect((await ssh(['big'])).out.equals(BIG)).toBe(true);
});

test('much input arrives whole, also when keys are exchanged anew on the way', async () => {
  const { out } = await ssh(['-o', 'RekeyLimit=1M', 'cat'], TOKEN, BIG.toString('latin1'));
  expect(out.equals(Buffer.from(BIG.toString('latin1')))).toBe(true);
});

test.each(['aes128-gcm@openssh.com', 'aes256-ctr', 'chacha20-poly1305@openssh.com'])('cipher %s', async (cipher) => {
  expect((await ssh(['-c', cipher, 'cat'], TOKEN, 'hello')).out.toString()).toBe('hello');
});

test('a terminal and its environment are asked for in the sandbox', async () => {
  await ssh(['-tt', '-o', 'SetEnv=PADDOCK_TEST=yes', 'nothing']);
  expect(seen).toContainEqual({ key: 'PADDOCK_TEST', val: 'yes' });
  expect(seen).toContainEqual(expect.objectContaining({ cols: expect.any(Number) }));
});

test('-W, as -L and ProxyJump use it', async () => {
  expect((await ssh(['-W', 'localhost:80', ''])).out.toString()).toBe('tunnelled\n');
});

test('-R: the sandbox opens a channel to the client', async () => {
  let heard = '';
  const target = createServer((socket) => socket.on('data', (chunk) => (heard += chunk)));
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const child = spawn('ssh', [...OPTIONS, '-p', String(port), '-N', '-R', `7000:127.0.0.1:${(target.address() as AddressInfo).port}`, `${TOKEN}@127.0.0.1`]);
  try {
    await until(() => heard === 'from the sandbox\n');
  } finally {
    child.kill();
    target.close();
  }
});

test('an unknown token is answered with a sentence', async () => {
  for (const token of ['x'.repeat(32), 'root']) {
    const { code, err } = await ssh(['cat'], token);
    expect([code, err]).toEqual([255, expect.stringContaining('This SSH access token is unknown, was revoked or has expired.')]);
  }
});

test('a sandbox that is not started is named as such', async () => {
  state = 'stopped';
  expect((await ssh(['cat'])).err).toContain(`Sandbox ${ID} is stopped. Start it, then connect again.`);
  state = 'started';
});

test.each([
  ['revocation', 'This SSH access was revoked.', () => revoked.forEach((tell) => tell(ID))],
  ['a revocation that went unheard', 'This SSH access was revoked.', () => { standing = new Set(); revoked.forEach((tell) => tell(null)); }],
  ['a stop of the sandbox', `Sandbox ${ID} is stopping.`, () => { state = 'stopping'; changed.forEach((tell) => tell(ID)); }],
])('%s ends open connections with a sentence', async (_name, sentence, act) => {
  state = 'started';
  const child = spawn('ssh', [...OPTIONS, '-p', String(port), `${TOKEN}@127.0.0.1`, 'wait']);
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk.toString()));
  const ended = new Promise((resolve) => child.once('close', resolve));
  await until(() => out.join('').includes('waiting'));
  act();
  expect(await ended).toBe(255);
  expect(err.join('')).toContain(sentence);
  state = 'started';
});

test('what may have gone unheard ends no connection of an access that stands', async () => {
  const child = spawn('ssh', [...OPTIONS, '-p', String(port), `${TOKEN}@127.0.0.1`, 'cat']);
  const out: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()));
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.stdin.write('before\n');
  await until(() => out.join('') === 'before\n');
  standing = new Set(['access']);
  revoked.forEach((tell) => tell(null));
  await new Promise((resolve) => setImmediate(resolve));
  child.stdin.end('after\n');
  await ended;
  expect(out.join('')).toBe('before\nafter\n');
});

test('what is not SSH is hung up on', async () => {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\n\r\n\r\n'.repeat(500));
  await new Promise((resolve) => socket.resume().once('close', resolve));
});

test('nothing stays open', async () => {
  await until(() => outcomes.length > 10 && outcomes.includes('closed by the client'));
});
