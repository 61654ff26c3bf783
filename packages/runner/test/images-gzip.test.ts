import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { decompressor, type Decompressor, type Take } from '../src/images/unpack/decompress.ts';
import { gzipProgram } from '../src/images/unpack/gzip-process.ts';

/** Compresses to half, so that pieces of every size come and go. */
const plain = Buffer.concat(Array.from({ length: 40 }, () => Buffer.concat([randomBytes(50_000), Buffer.alloc(50_000, 'text')])));

/** RFC 1952 by hand: extra field, name, comment, as estargz and pigz write them. */
function member(data: Buffer, { crc = crc32(data), size = data.length } = {}): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size >>> 0, 4);
  return Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 4 | 8 | 16, 0, 0, 0, 0, 0, 255, 4, 0, 0x53, 0x47, 0, 0]), Buffer.from('name\0comment\0'), deflateRawSync(data), trailer]);
}

describe.each([['in a process', null], ['in the thread, as small blobs and hosts without igzip have it', 1_000]])('a gzip blob inflated %s', (_, sizeBytes) => {
  let open: Decompressor | null = null;
  afterEach(() => open?.close());

  const start = (blob: Buffer, take: Take): Decompressor => (open = decompressor(blob.subarray(0, 4), sizeBytes, take));
  const inflate = async (blob: Buffer, step = 65_536): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    const inflating = start(blob, (piece) => pieces.push(Buffer.from(piece)));
    for (let at = 0; at < blob.length; at += step) await inflating.write(blob.subarray(at, at + step));
    await inflating.end();
    return Buffer.concat(pieces);
  };

  it.each<[string, Buffer, Buffer]>([
    ['as tools write it', gzipSync(plain), plain],
    ['with everything that a header can have', member(plain), plain],
    ['of several members', Buffer.concat([gzipSync(plain), member(plain), gzipSync(Buffer.alloc(0))]), Buffer.concat([plain, plain])],
    ['that is stored, not compressed', gzipSync(plain, { level: 0 }), plain],
    ['with zeros behind it', Buffer.concat([gzipSync(plain), Buffer.alloc(512)]), plain],
    ['of nothing', gzipSync(Buffer.alloc(0)), Buffer.alloc(0)],
  ])('%s gives what went in', async (_name, blob, expected) => {
    expect((await inflate(blob)).equals(expected)).toBe(true);
  });

  it('comes out the same however it is cut', async () => {
    const some = plain.subarray(0, 60_000);
    for (const step of [1, 7, 1_000]) expect((await inflate(member(some), step)).equals(some)).toBe(true);
  });

  it.each<[string, Buffer]>([
    ['cut off', gzipSync(plain).subarray(0, 1_000_000)],
    ['cut off within its header', gzipSync(plain).subarray(0, 6)],
    ['with a wrong checksum', member(plain, { crc: 1 })],
    ['with a wrong length', member(plain, { size: 7 })],
    ['with other bytes in the middle', (() => { const blob = gzipSync(plain); randomBytes(64).copy(blob, 500_000); return blob; })()],
  ])('%s is damaged', async (_name, blob) => {
    await expect(inflate(blob)).rejects.toThrow(/^its compressed data is damaged/);
  });

  it('ends with what its taker throws, and gives it nothing more', async () => {
    let taken = 0;
    const inflating = start(gzipSync(plain), () => {
      taken += 1;
      throw new Error('enough');
    });
    const whole = async (): Promise<void> => {
      await inflating.write(gzipSync(plain));
      await inflating.end();
    };
    await expect(whole()).rejects.toThrow('enough');
    await sleep(50);
    expect(taken).toBe(1);
  });
});

describe('the process that inflates', () => {
  const children = (): number[] => readdirSync('/proc/self/task').flatMap((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return []; // the thread ended
    }
  }).filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'igzip');

  /** What every child of this process gets from whoever started the tests. */
  const inherited = (): string[] => execFileSync('sh', ['-c', 'for fd in /proc/$$/fd/*; do [ "${fd##*/}" -le 2 ] || readlink $fd; done; true'], { encoding: 'utf8' }).split('\n').filter((file) => file !== '' && file !== '/dev/null');

  it('is installed here, as set-up installs it', () => {
    expect(gzipProgram()).not.toBeNull();
  });

  it('has an id of its own, no capability, no group, two pipes and no environment, and goes when it is let go', async () => {
    const inflating = decompressor(gzipSync(plain).subarray(0, 4), null, () => undefined);
    try {
      await inflating.write(gzipSync(plain).subarray(0, 100_000));
      const pids = children();
      expect(pids).toHaveLength(1);
      const status = readFileSync(`/proc/${pids[0]}/status`, 'utf8');
      expect(status).toMatch(/^Uid:(\t1879048191){4}$/m);
      expect(status).toMatch(/^Gid:(\t1879048191){4}$/m);
      expect(status).toMatch(/^Groups:\s*$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      const files = readdirSync(`/proc/${pids[0]}/fd`).map((fd) => readlinkSync(`/proc/${pids[0]}/fd/${fd}`));
      expect(files.slice(0, 3)).toEqual([expect.stringMatching(/^pipe:/), expect.stringMatching(/^pipe:/), '/dev/null']);
      expect(files.slice(3)).toEqual(inherited());
      expect(readFileSync(`/proc/${pids[0]}/environ`, 'utf8')).toBe('');
    } finally {
      inflating.close();
    }
    for (let tries = 0; children().length > 0; tries += 1) {
      expect(tries).toBeLessThan(100);
      await sleep(20);
    }
  });

  it('that is killed is no damage of the blob', async () => {
    const inflating = decompressor(gzipSync(plain).subarray(0, 4), null, () => undefined);
    try {
      await inflating.write(gzipSync(plain).subarray(0, 100_000));
      execFileSync('kill', ['-9', String(children()[0])]);
      await expect(inflating.end()).rejects.toThrow(/igzip was ended by SIGKILL$/);
    } finally {
      inflating.close();
    }
  });
});
