import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { declare } from '../sys/index.ts';

/**
 * Pieces and the buffers they come in are garbage as soon as they are sent, but with hardly any objects on the heap V8 collects them
 * only after hundreds of MiB. A collection of the young after each piece keeps a transfer small, and because pages are used again it costs
 * no time; a whole one at the end leaves the runner as it was.
 */
type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | null = null;
/** The C library keeps what it was given back, in each thread's arena. */
let trim: ReturnType<typeof declare> | null = null;

export function afterPiece(): void {
  collect ??= exposed();
  collect({ type: 'minor' });
}

export function afterTransfer(): void {
  collect ??= exposed();
  collect();
  trim ??= declare('int malloc_trim(size_t pad)');
  trim(0);
}

function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return found;
}
