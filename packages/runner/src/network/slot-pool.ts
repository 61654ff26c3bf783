import type { NetworkSlot } from '../types.ts';
import type { NetworkLog } from './log.ts';
import { MAX_SLOTS } from './plan.ts';

/** Slots kept ready. Enough for a burst of creates to find one while the next are made; each costs some 100 KiB of kernel memory. */
const READY = 8;

/** After a failure: long enough not to spin, short enough that a create waiting for a slot hardly notices. */
const RETRY_MS = 250;

/** A create that waits gets the error after this many failures in a row, not before. */
const MAX_FAILURES = 3;

interface Waiter {
  resolve(slot: NetworkSlot): void;
  reject(error: Error): void;
}

/** Hands out ready slots and makes the next ones in the background, one at a time. */
export class SlotPool {
  readonly #make: (index: number, reused: boolean) => Promise<NetworkSlot>;
  readonly #log: NetworkLog;
  readonly #ready: NetworkSlot[] = [];
  readonly #waiters: Waiter[] = [];
  /** Indexes of ready and handed-out slots, and of those being made. */
  readonly #used = new Set<number>();
  /** Given back, oldest first: an index rests as long as possible, so that nothing of its last sandbox is left. */
  readonly #rested: number[] = [];
  /** Indexes from here on have not been used by this runner. */
  #next = 0;
  /** The router is older than this runner: any index may have been used. */
  readonly #allReused: boolean;
  #filling: Promise<void> | null = null;
  #closed = false;

  constructor(options: { make: (index: number, reused: boolean) => Promise<NetworkSlot>; allReused: boolean; log: NetworkLog }) {
    this.#make = options.make;
    this.#allReused = options.allReused;
    this.#log = options.log;
  }

  take(): Promise<NetworkSlot> {
    if (this.#closed) return Promise.reject(new Error('the network is closed'));
    const slot = this.#waiters.length === 0 ? this.#ready.shift() : undefined;
    const taken = slot === undefined
      ? new Promise<NetworkSlot>((resolve, reject) => this.#waiters.push({ resolve, reject }))
      : Promise.resolve(slot);
    this.fill();
    return taken;
  }

  /** Marks an index as handed out. @returns false when it is already */
  reserve(index: number): boolean {
    if (this.#used.has(index)) return false;
    this.#used.add(index);
    return true;
  }

  isHandedOut(index: number): boolean {
    return this.#used.has(index) && !this.#ready.some((slot) => slot.index === index);
  }

  giveBack(index: number): void {
    if (!this.isHandedOut(index)) return;
    this.#used.delete(index);
    if (index < this.#next) this.#rested.push(index);
    this.fill();
  }

  fill(): void {
    if (this.#closed || this.#filling !== null || !this.#isShort()) return;
    this.#filling = this.#fillUp().finally(() => {
      this.#filling = null;
    });
  }

  /** Stops making slots. @returns those that nobody took */
  async close(): Promise<NetworkSlot[]> {
    this.#closed = true;
    await this.#filling;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error('the network is closed'));
    return this.#ready.splice(0);
  }

  #isShort(): boolean {
    return this.#ready.length < READY || this.#waiters.length > 0;
  }

  async #fillUp(): Promise<void> {
    let failures = 0;
    // The caller of take() goes first: what it does next is somebody's create.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#closed && this.#isShort()) {
      const picked = this.#pick();
      if (picked === null) {
        for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error(`all ${MAX_SLOTS} network slots of this machine are in use`));
        return;
      }
      try {
        this.#deliver(await this.#make(picked.index, picked.reused));
        failures = 0;
      } catch (error) {
        this.#used.delete(picked.index);
        if (picked.index < this.#next) this.#rested.push(picked.index);
        failures += 1;
        this.#log.warn({ slot: picked.index, failures, err: error }, 'could not make a network slot');
        if (failures >= MAX_FAILURES) {
          const reason = error instanceof Error ? error : new Error(String(error));
          for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  #deliver(slot: NetworkSlot): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#ready.push(slot);
    else waiter.resolve(slot);
  }

  #pick(): { index: number; reused: boolean } | null {
    while (this.#next < MAX_SLOTS) {
      const index = this.#next++;
      if (this.reserve(index)) return { index, reused: this.#allReused };
    }
    const index = this.#rested.shift();
    if (index === undefined) return null;
    this.#used.add(index);
    return { index, reused: true };
  }
}
