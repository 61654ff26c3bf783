import { readdirSync, readFileSync } from 'node:fs';

/** Private (unshared) memory of one process in bytes; 0 when it is gone. */
export function privateBytes(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return sum(text, /^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB$/gm);
  } catch {
    return 0;
  }
}

export function rssBytes(pid: number): number {
  try {
    return sum(readFileSync(`/proc/${pid}/status`, 'utf8'), /^VmRSS:\s+(\d+) kB$/gm);
  } catch {
    return 0;
  }
}

function sum(text: string, line: RegExp): number {
  let kib = 0;
  for (const match of text.matchAll(line)) kib += Number(match[1]);
  return kib * 1024;
}

/** All pids below `root`, itself included. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      const list = children.get(parent);
      if (list === undefined) children.set(parent, [pid]);
      else list.push(pid);
    } catch {
      // Ended while being read.
    }
  }
  const tree: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    tree.push(pid);
    queue.push(...(children.get(pid) ?? []));
  }
  return tree;
}

/** Pids whose cgroup path (any hierarchy) contains `part`: the processes of a sandbox, seen from the host. */
export function pidsInCgroup(part: string): number[] {
  return readdirSync('/proc').map(Number).filter((pid) => {
    if (!Number.isInteger(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(part);
    } catch {
      return false;
    }
  });
}

/** Watches the resident size of processes while something runs; `growth` is the largest increase of any one of them. */
export class MemoryWatch {
  readonly #start = new Map<number, number>();
  readonly #peak = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[], everyMs = 20) {
    for (const pid of pids) {
      this.#start.set(pid, rssBytes(pid));
      this.#peak.set(pid, rssBytes(pid));
    }
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  #look(): void {
    for (const pid of this.#start.keys()) this.#peak.set(pid, Math.max(this.#peak.get(pid) ?? 0, rssBytes(pid)));
  }

  stop(): Array<{ pid: number; startBytes: number; peakBytes: number; growthBytes: number }> {
    this.#look();
    clearInterval(this.#timer);
    return [...this.#start].map(([pid, startBytes]) => {
      const peakBytes = this.#peak.get(pid) ?? startBytes;
      return { pid, startBytes, peakBytes, growthBytes: peakBytes - startBytes };
    });
  }
}
