/**
 * What the gateway alone costs: requests and transfers straight to a unix-socket server, then through the gateway to the same
 * server, each part in a process of its own. Prints milliseconds a request, MB/s, and the gateway's CPU and memory.
 *
 *   node packages/gateway/bench/data-path.ts
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, createServer, request, type RequestOptions } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { layoutOf, toolboxSocket } from '@paddock/contract';
import { createGateway, GATEWAY_SERVER_OPTIONS, type RoutedSandbox } from '../src/index.ts';

const ID = '11111111-2222-4333-8444-555555555555';
const TRANSFER_BYTES = 256 * 1024 * 1024;
const REQUESTS = 3000;
const CHUNK = Buffer.alloc(256 * 1024, 7);
const role = process.argv[2];
const dir = process.argv[3] ?? '';

if (role === 'upstream') runUpstream();
else if (role === 'gateway') runGateway();
else await runClient();

function runUpstream(): void {
  createServer({ highWaterMark: 256 * 1024 }, (req, res) => {
    if (req.url === '/download') {
      res.writeHead(200, { 'content-length': TRANSFER_BYTES });
      let left = TRANSFER_BYTES;
      const pump = (): void => {
        while (left > 0) {
          left -= CHUNK.length;
          if (!res.write(CHUNK)) { res.once('drain', pump); return; }
        }
        res.end();
      };
      pump();
    } else req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end('{"exitCode":0,"result":""}'));
  }).listen(toolboxSocket(layoutOf(dir, dir), ID), () => process.send?.('up'));
}

function runGateway(): void {
  const sandbox: RoutedSandbox = { id: ID, organizationId: 'o', state: 'started', public: false, authToken: 'x', signingKey: null };
  const gateway = createGateway({ previewDomain: 'localhost', previewProtocol: 'http', publicUrl: 'http://localhost', trustedProxies: [] }, layoutOf(dir, dir), {
    cookieKey: Buffer.alloc(32), sandbox: () => sandbox, authenticate: () => ({ organizationId: 'o' }), canAccess: () => true,
    signedPreview: () => null, touch: () => {}, onSandboxChanged: () => () => {},
  });
  const server = createServer(GATEWAY_SERVER_OPTIONS, gateway.handle);
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as { port: number }).port));
}

async function runClient(): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'gateway-bench-'));
  const socketPath = toolboxSocket(layoutOf(home, home), ID);
  mkdirSync(dirname(socketPath), { recursive: true });
  const start = (name: string) => {
    const child = fork(import.meta.filename, [name, home]);
    return { child, ready: new Promise<unknown>((resolve) => child.once('message', resolve)) };
  };
  const upstream = start('upstream');
  const gateway = start('gateway');
  try {
    await upstream.ready;
    const port = await gateway.ready as number;
    const agent = new Agent({ keepAlive: true, highWaterMark: 256 * 1024 } as object);
    const direct: RequestOptions = { socketPath, agent };
    const through: RequestOptions = { host: '127.0.0.1', port, agent, headers: { authorization: 'Bearer k' } };
    const pid = gateway.child.pid as number;
    for (const [name, target, prefix] of [['direct (unix socket)', direct, ''], ['through the gateway', through, `/toolbox/${ID}`]] as const) {
      await latency(target, `${prefix}/process/execute`, 500);
      const times = await latency(target, `${prefix}/process/execute`, REQUESTS);
      console.log(`${name}: request p50 ${times.p50.toFixed(3)} ms, p99 ${times.p99.toFixed(3)} ms, n ${REQUESTS}`);
      for (const [kind, move] of [['download', download], ['upload', upload]] as const) {
        await move(target, prefix);
        const before = cpuMs(pid);
        const began = performance.now();
        await move(target, prefix);
        const ms = performance.now() - began;
        console.log(`${name}: ${kind} ${(TRANSFER_BYTES / 1e6 / ms * 1000).toFixed(0)} MB/s (256 MiB in ${ms.toFixed(0)} ms, gateway CPU ${cpuMs(pid) - before} ms, peak RSS ${peakMiB(pid)} MiB)`);
      }
    }
    agent.destroy();
  } finally {
    upstream.child.kill();
    gateway.child.kill();
    rmSync(home, { recursive: true, force: true });
  }
}

async function latency(target: RequestOptions, path: string, count: number): Promise<{ p50: number; p99: number }> {
  const times: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const began = performance.now();
    await call({ ...target, path, method: 'POST' }, (req) => req.end('{"command":"true"}'));
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return { p50: times[Math.floor(count * 0.5)] as number, p99: times[Math.floor(count * 0.99)] as number };
}

function download(target: RequestOptions, prefix: string): Promise<number> {
  return call({ ...target, path: `${prefix}/download` }, (req) => req.end());
}

function upload(target: RequestOptions, prefix: string): Promise<number> {
  const headers = { ...target.headers as object, 'content-length': TRANSFER_BYTES };
  return call({ ...target, path: `${prefix}/upload`, method: 'POST', headers }, (req) => {
    let left = TRANSFER_BYTES;
    const pump = (): void => {
      while (left > 0) {
        left -= CHUNK.length;
        if (!req.write(CHUNK)) { req.once('drain', pump); return; }
      }
      req.end();
    };
    pump();
  });
}

function call(options: RequestOptions, send: (req: ReturnType<typeof request>) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const req = request(options, (res) => {
      let bytes = 0;
      res.on('data', (chunk: Buffer) => { bytes += chunk.length; });
      res.on('end', () => (res.statusCode === 200 ? resolve(bytes) : reject(new Error(String(res.statusCode)))));
      res.on('error', reject);
    });
    req.on('error', reject);
    send(req);
  });
}

/** User and system time of a process; the kernel counts in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function peakMiB(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}
