/** A real toolbox for tests: the bundled program as a child process, on a unix socket and a port of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, closeSync, constants, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';
import { buildToolbox } from '../build.ts';
import { TOOLBOX_NODE_FLAGS, TOOLBOX_PROCESS_ENV } from '../src/index.ts';
import { listeningSocket } from './listening-socket.ts';

export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** The body as JSON; throws when it is none. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly json: any;
}

export interface Toolbox {
  /** Work dir, also the home; removed at the end of the test. */
  readonly dir: string;
  readonly socketPath: string;
  readonly port: number;
  readonly child: ChildProcess;
  get(path: string, headers?: http.OutgoingHttpHeaders): Promise<Reply>;
  post(path: string, body?: unknown, headers?: http.OutgoingHttpHeaders): Promise<Reply>;
  send(method: string, path: string, options?: { headers?: http.OutgoingHttpHeaders; body?: Buffer | string }): Promise<Reply>;
  exec(command: string, more?: object): Promise<Reply>;
  /** Bytes as sent, without any HTTP library in between. @returns everything the toolbox sent until it closed */
  raw(bytes: string): Promise<string>;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface ToolboxOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly port?: number;
}

/** Made once a test file, and gone with it. */
let bundle: Promise<string> | null = null;
let bundleDir: string | null = null;

afterAll(() => {
  if (bundleDir !== null) rmSync(bundleDir, { recursive: true, force: true });
});

function makeBundle(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-toolbox-bundle-'));
  bundleDir = dir;
  return buildToolbox(dir);
}

/** Node where other users may run it: the checkout may lie in a directory that only root enters. */
let openNode: string | null = null;

function nodeFor(uid: number | undefined): string {
  if (uid === undefined) return process.execPath;
  if (openNode === null) {
    openNode = join(bundleDir!, 'node');
    copyFileSync(process.execPath, openNode, constants.COPYFILE_FICLONE);
    chmodSync(openNode, 0o755);
  }
  return openNode;
}

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Started, and stopped with all its files when the test ends. */
export async function startToolbox(options: ToolboxOptions = {}): Promise<Toolbox> {
  bundle ??= makeBundle();
  const script = await bundle;
  const base = mkdtempSync(join(tmpdir(), 'paddock-toolbox-'));
  chmodSync(base, 0o755);
  chmodSync(join(script, '..'), 0o755);
  const dir = join(base, 'home');
  mkdirSync(dir);
  if (options.uid !== undefined) chownSync(dir, options.uid, options.uid);
  const socketPath = join(base, 'toolbox.sock');
  const port = options.port ?? (await freePort());
  const fd = listeningSocket(socketPath);
  const child = spawn(nodeFor(options.uid), [...TOOLBOX_NODE_FLAGS, script], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'], HOME: dir, LANG: 'C.UTF-8', PADDOCK_LISTEN_FD: '3', PADDOCK_TOOLBOX_PORT: String(port), PADDOCK_TERMINAL_PORT: '0',
      ...TOOLBOX_PROCESS_ENV, ...options.env,
    },
    stdio: ['ignore', 'inherit', 'pipe', fd],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  if (process.env['PADDOCK_TEST_STDERR']) child.stderr!.pipe(process.stderr);
  else child.stderr!.resume();
  closeSync(fd);
  const exited = once(child, 'exit') as Promise<[number | null]>;
  const agent = new http.Agent({ keepAlive: true });

  const toolbox: Toolbox = {
    dir, socketPath, port, child,
    send: (method, path, { headers, body } = {}) => send(agent, socketPath, method, path, headers, body),
    get: (path, headers) => toolbox.send('GET', path, { headers }),
    post: (path, body, headers) => toolbox.send('POST', path, { headers, body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body ?? {}) }),
    exec: (command, more) => toolbox.post('/process/execute', { command, ...more }),
    raw: (bytes) => rawExchange(socketPath, bytes),
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const [code] = await exited;
      return code;
    },
  };
  onTestFinished(async () => {
    agent.destroy();
    if (child.exitCode === null && child.signalCode === null) await toolbox.stop('SIGKILL');
    rmSync(base, { recursive: true, force: true });
    rmSync(`/dev/shm/.paddock-pipes-${child.pid}`, { recursive: true, force: true });
    rmSync(`/dev/shm/.paddock-sessions-${child.pid}`, { recursive: true, force: true });
    rmSync(`/dev/shm/.paddock-toolbox-${options.uid ?? 0}.json`, { force: true });
  });
  return toolbox;
}

function send(agent: http.Agent, socketPath: string, method: string, path: string, headers: http.OutgoingHttpHeaders = {}, body?: Buffer | string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const request = http.request({ socketPath, method, path, agent, headers: { ...length, ...headers } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: response.statusCode!, headers: response.headers, body: bytes, text: bytes.toString(),
          get json() {
            return JSON.parse(bytes.toString());
          },
        });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

function rawExchange(socketPath: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath, () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

/** A multipart body as clients frame it: parts as [name, filename or null, content]. */
export function multipart(parts: readonly (readonly [string, string | null, Buffer | string])[], boundary = 'test-boundary'): { body: Buffer; headers: Record<string, string> } {
  const pieces: Buffer[] = [];
  for (const [name, filename, content] of parts) {
    const file = filename === null ? '' : `; filename="${filename}"`;
    const type = filename === null ? '' : 'Content-Type: application/octet-stream\r\n';
    pieces.push(Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n${type}\r\n`), Buffer.from(content), Buffer.from('\r\n'));
  }
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  return { body: Buffer.concat(pieces), headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` } };
}

/** Polls until a condition holds: only for what nothing announces, such as the end of a process group. */
export async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 3000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('the condition did not come to hold');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
