/** Unpacks a layer of a build with the host's tar. Takes no hostile input apart: the verified unpacker of the image store takes its place. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { MakeFailed, type LayerInfo } from '../images/index.ts';

export async function unpackLayer({ source, dir, diffId, signal }: { source: Readable; dir: string; diffId: string; signal: AbortSignal }): Promise<LayerInfo> {
  const child = spawn('tar', ['--extract', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--directory', dir, '--file', '-'], { stdio: ['pipe', 'ignore', 'ignore'], signal });
  const hash = createHash('sha256');
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  let sizeBytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    if (!child.stdin.write(chunk)) await new Promise((resolve) => child.stdin.once('drain', resolve));
  }
  child.stdin.end();
  if ((await ended) !== 0 || `sha256:${hash.digest('hex')}` !== diffId) throw new MakeFailed('A layer of the built image cannot be unpacked');
  return { sizeBytes };
}
