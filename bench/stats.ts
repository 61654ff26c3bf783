/** Figures of one series of timings. Times in milliseconds. */
export interface Series {
  readonly name: string;
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

export function series(name: string, samples: readonly number[]): Series {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
  return { name, n: sorted.length, p50: at(0.5), p99: at(0.99), min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Runs `work` n times one after the other after `warmUp` uncounted runs. */
export async function measure(name: string, n: number, work: (i: number) => Promise<unknown>, warmUp = 2): Promise<Series> {
  for (let i = 0; i < warmUp; i += 1) await work(-1 - i);
  const samples: number[] = [];
  for (let i = 0; i < n; i += 1) samples.push(await timed(() => work(i)));
  return series(name, samples);
}

const ms = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1)).padStart(8);

export function row(s: Series, extra = ''): string {
  return `${s.name.padEnd(46)} p50 ${ms(s.p50)} ms   p99 ${ms(s.p99)} ms   n ${String(s.n).padStart(4)}   ${extra}`;
}

/** One line of the verdict at the end: a figure of SPECIFICATION.md, what it must be and what it was. */
export interface Figure {
  readonly what: string;
  readonly limit: string;
  readonly measured: string;
  readonly met: boolean;
}

export function atMost(what: string, measured: number, limit: number, unit: string): Figure {
  return { what, limit: `<= ${limit} ${unit}`, measured: `${round(measured)} ${unit}`, met: measured <= limit };
}

export function atLeast(what: string, measured: number, limit: number, unit: string): Figure {
  return { what, limit: `>= ${limit} ${unit}`, measured: `${round(measured)} ${unit}`, met: measured >= limit };
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
