/**
 * Learns of a process's end from its pidfd, pushed by the kernel. It needs neither to be the parent (a detached sandbox
 * has none of ours, and an earlier runner may have started it) nor anything inside the sandbox, so code in there can
 * neither hide an exit nor fake one.
 */
import { closeSync, readFileSync, writeSync } from 'node:fs';
import { epoll, epollAdd, epollRemove, epollWait, eventfd, pidfdExitStatus, pidfdOpen, pidfdSignal } from './kernel.ts';

const WAKE_KEY = 0;
/** Events taken per wake-up; more just come with the next one. */
const BATCH = 64;

/** A process that is watched until it ends. */
export interface WatchedProcess {
  readonly pid: number;
  /** Resolves once when the process has ended, with its wait status where the kernel tells it. */
  readonly ended: Promise<number | null>;
  /** @returns false when it has already ended */
  signal(signal: number): boolean;
}

interface Entry {
  readonly pid: number;
  readonly pidfd: number;
  readonly settle: (status: number | null) => void;
}

export class ExitWatch {
  readonly #epoll = epoll();
  readonly #wake = eventfd();
  readonly #entries = new Map<number, Entry>();
  #nextKey = WAKE_KEY + 1;
  #closed = false;
  readonly #stopWaiting = (): void => this.close();

  constructor() {
    epollAdd(this.#epoll, this.#wake, WAKE_KEY);
    // The waiting thread would hold up process.exit() for ever.
    process.once('exit', this.#stopWaiting);
    void this.#run();
  }

  /** @returns null when no such process exists. The caller has made sure that `pid` still names what it means. */
  watch(pid: number): WatchedProcess | null {
    const pidfd = pidfdOpen(pid);
    if (pidfd === null) return null;
    const key = this.#nextKey++;
    let over = false;
    const ended = new Promise<number | null>((resolve) => {
      this.#entries.set(key, {
        pid,
        pidfd,
        settle: (status) => {
          over = true;
          resolve(status);
        },
      });
    });
    epollAdd(this.#epoll, pidfd, key);
    return { pid, ended, signal: (signal) => !over && pidfdSignal(pidfd, signal) };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#stopWaiting);
    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(1n);
    writeSync(this.#wake, one);
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const keys = await epollWait(this.#epoll, BATCH);
      for (const key of keys) {
        const entry = this.#entries.get(key);
        if (entry === undefined) continue;
        this.#entries.delete(key);
        epollRemove(this.#epoll, entry.pidfd);
        const status = zombieStatus(entry.pid) ?? pidfdExitStatus(entry.pidfd);
        closeSync(entry.pidfd);
        entry.settle(status);
      }
    }
    for (const { pidfd } of this.#entries.values()) closeSync(pidfd);
    closeSync(this.#wake);
    closeSync(this.#epoll);
  }
}

/** Wait status of a process that has ended but is not reaped yet: the last field of its stat line. */
function zombieStatus(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null; // reaped
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).trimEnd().split(' ');
  return fields[0] === 'Z' ? Number(fields[49]) : null;
}

/** A wait status in words: `status 1`, `signal 9`; null when unknown. */
export function describeStatus(status: number | null): string | null {
  if (status === null) return null;
  const signal = status & 0x7f;
  return signal === 0 ? `status ${(status >> 8) & 0xff}` : `signal ${signal}`;
}
