import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Every 64 KiB that pass through are a buffer that V8 frees only at its next collection, and with hardly any objects on the heap
 * that comes after 80–90 MiB of them. A young-generation collection after each 8 MiB keeps the growth at 20–40 MiB, and because
 * the same pages are used again it more than halves the CPU time of a transfer (256 MiB on a quiet machine: 300 ms without, 130–160 ms with;
 * bench/data-path.ts).
 */
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024;

let collectYoung: ((options: { type: 'minor' }) => void) | null = null;
let passedBytes = 0;

/** Tells of bytes that were handed on and are garbage now. */
export function notePassed(bytes: number): void {
  passedBytes += bytes;
  if (passedBytes < COLLECT_EVERY_BYTES) return;
  passedBytes = 0;
  collectYoung ??= exposeCollector();
  collectYoung({ type: 'minor' });
}

function exposeCollector(): (options: { type: 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
