import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegistryClient } from '../src/registry-client/index.ts';
import { MemoryRegistry } from './image-bed.ts';

const MIB = 1024 ** 2;
const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('a download that breaks', () => {
  let registry: MemoryRegistry;
  /** What a connection carries before it breaks; by number of the request. */
  let carried: (request: number) => number;

  /** Content that is made as it is sent: each byte tells its place. */
  const pattern = Buffer.alloc(MIB + 251, Buffer.from(Array.from({ length: 251 }, (_, index) => index)));
  const content = (from: number, to: number): Buffer => pattern.subarray(from % 251, (from % 251) + to - from);

  async function download(size: number, attempts?: number): Promise<number> {
    const client = new RegistryClient(`${registry.host}/team/large:1`, null, { insecure: [], mirrors: {} }, new AbortController().signal, attempts === undefined ? {} : { attempts });
    let at = 0;
    for await (const chunk of client.blob({ mediaType: 'application/octet-stream', digest: DIGEST, size })) {
      for (const index of [0, chunk.length - 1]) if (chunk[index] !== (at + index) % 251) throw new Error(`wrong content at ${at + index}`);
      at += chunk.length;
    }
    return at;
  }

  function serve(size: number): void {
    let requests = 0;
    registry.before = (request, reply) => {
      const from = Number(/=(\d+)/.exec(request.headers.range ?? '=0')![1]);
      const length = carried(requests++);
      if (length === 0) return void reply.writeHead(503).end();
      reply.writeHead(from > 0 ? 206 : 200, { 'content-length': size - from, ...(from > 0 ? { 'content-range': `bytes ${from}-${size - 1}/${size}` } : {}) });
      void (async () => {
        const to = Math.min(size, from + length);
        for (let at = from; at < to; at += MIB) if (!reply.write(content(at, Math.min(to, at + MIB)))) await once(reply, 'drain');
        if (to === size) reply.end();
        else reply.socket?.end();
      })().catch(() => undefined);
    };
  }

  beforeEach(async () => {
    registry = await MemoryRegistry.start();
  });
  afterEach(() => registry.stop());

  it('after every few megabytes gets to its end, however often that is, and without pauses', async () => {
    carried = () => 5 * MIB;
    serve(260 * MIB);
    expect(await download(260 * MIB)).toBe(260 * MIB);
    expect(registry.requests).toHaveLength(52);
  });

  it('waits longer for a registry that is away than one that has nothing yet', async () => {
    carried = (request) => (request >= 1 && request <= 3 ? 0 : 6 * MIB);
    serve(12 * MIB);
    expect(await download(12 * MIB, 2)).toBe(12 * MIB);
    carried = () => 0;
    registry.requests.length = 0;
    await expect(download(12 * MIB, 2)).rejects.toThrow('503');
    expect(registry.requests).toHaveLength(2);
  });

  it('with next to nothing each time is given up', async () => {
    carried = () => 1_000;
    serve(12 * MIB);
    const since = performance.now();
    await expect(download(12 * MIB, 1)).rejects.toThrow(/broke off|ended the download/);
    expect(performance.now() - since).toBeLessThan(30_000);
  });
});
