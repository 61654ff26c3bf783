import { close, open, unlink, writev } from 'node:fs';
import { promisify } from 'node:util';
import { LogReader } from './log-reader.ts';
import { LOGS } from './logs.ts';
import { record, type Stream } from './records.ts';

/**
 * What one command printed. The newest bytes are in memory, what is older in files, and of those the newest 64 MiB are kept.
 *
 * A reader that reads along loses nothing: what it has not taken yet is not dropped. When it is 64 MiB behind, the command waits
 * for it (`full`), but not for ever: one that takes nothing for 30 s meanwhile is cut off.
 */

/**
 * How much of a command's output is kept. More than anyone reads as one JSON text, of which the reply carries the output twice
 * (clients written in JavaScript cannot hold a text above 512 MiB), and little enough for the smallest disk, 3 GiB.
 */
export const LOG_BYTES = 64 * 1024 * 1024;

/** Files are dropped whole; a sixteenth of the limit is the grain of that. */
const SEGMENT_BYTES = LOG_BYTES / 16;

/** From here on memory is written out: most commands print less and never touch the disk. */
const SPILL_BYTES = 64 * 1024;

/** Waiting for the disk: 256 KiB are four reads of a pipe. Also all that is kept when the disk takes nothing. */
const MEMORY_BYTES = 256 * 1024;

/** A reader on whose account the command waits must take something within this. Longer than a client's garbage collection or a network's hiccup. */
const STALL_MS = Number(process.env['PADDOCK_LOG_STALL_MS'] ?? 30_000); // tests of slow readers have less patience
const STALL_CHECK_MS = STALL_MS / 6;

export interface Segment {
  readonly path: string;
  readonly start: number;
  end: number;
}

interface Part {
  readonly start: number;
  readonly bytes: Buffer;
}

const openFile = promisify(open);
const closeFile = promisify(close);

export class Log {
  readonly #name: string;
  readonly #readers = new Set<LogReader>();
  #segments: Segment[] = [];
  #fd: number | null = null;
  #memory: Part[] = [];
  #memoryBytes = 0;
  #spilling = false;
  #end = 0;
  #closed = false;
  #disposed = false;
  #retired = false;
  #stallTimer: NodeJS.Timeout | null = null;
  #room: (() => void)[] = [];

  /** @param name unique among the logs of this process, usable as a file name */
  constructor(name: string) {
    this.#name = name;
  }

  /** Offset of the oldest record that is kept. */
  get start(): number {
    return this.#segments[0]?.start ?? this.#memory[0]?.start ?? this.#end;
  }

  get end(): number {
    return this.#end;
  }

  /** Nothing will be added any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The log has been thrown away, or its oldest part while somebody still read it. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Whoever adds should wait: for the disk, or for a reader that is far behind. */
  get full(): boolean {
    return !this.#closed && (this.#memoryBytes > MEMORY_BYTES || this.#end - this.start > LOG_BYTES + SEGMENT_BYTES);
  }

  /** Called once when the log is not full any more. */
  onRoom(listener: () => void): void {
    this.#room.push(listener);
  }

  append(stream: Stream, before: Uint8Array, chunk: Uint8Array): void {
    if (this.#closed || before.length + chunk.length === 0) return;
    const bytes = record(stream, before, chunk);
    this.#memory.push({ start: this.#end, bytes });
    this.#memoryBytes += bytes.length;
    this.#end += bytes.length;
    LOGS.memoryBytes += bytes.length;
    if (this.#memoryBytes >= SPILL_BYTES) void this.#spill();
    if (this.full) this.#watchForStall();
    this.#wakeReaders();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wakeReaders();
    this.#tellRoom();
    if (!this.#spilling) this.#closeFile();
    LOGS.finished(this);
  }

  /** @param follow waits at the end for more, until the log is closed */
  reader(follow: boolean): LogReader {
    const reader = new LogReader(this, this.start, follow ? null : this.#end, (done) => {
      if (done) this.#readers.delete(reader);
      this.#trim();
      if (this.#memoryBytes > MEMORY_BYTES) void this.#spill();
      if (this.#retired && this.#readers.size === 0) this.dispose();
    });
    this.#readers.add(reader);
    return reader;
  }

  /** Some of the records in memory from an offset on, none when the offset is the end, or null when the offset is in a file. */
  inMemory(offset: number): readonly Buffer[] | null {
    const first = this.#memory[0];
    if (first === undefined || offset < first.start) return offset >= this.#end ? [] : null;
    let low = 0;
    let high = this.#memory.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#memory[middle]!.start < offset) low = middle + 1;
      else high = middle;
    }
    return this.#memory.slice(low, low + 1024).map((part) => part.bytes);
  }

  segmentOf(offset: number): Segment | null {
    return this.#segments.find((segment) => offset >= segment.start && offset < segment.end) ?? null;
  }

  /** Writes to a file what a finished log still holds in memory. */
  async moveToDisk(): Promise<void> {
    await this.#spill();
    this.#closeFile();
  }

  /** Throws the log away once those who read it have come to its end. */
  retire(): void {
    this.close();
    if (this.#readers.size === 0) return this.dispose();
    this.#retired = true;
    setTimeout(() => this.dispose(), STALL_MS).unref();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#closed = true;
    for (const reader of this.#readers) reader.abandon();
    LOGS.memoryBytes -= this.#memoryBytes;
    this.#memory = [];
    this.#memoryBytes = 0;
    while (this.#segments.length > 0) this.#dropSegment();
    if (!this.#spilling) this.#closeFile();
    this.#wakeReaders();
    this.#tellRoom();
    LOGS.gone(this);
  }

  /** Writes all of the memory to the current file, one write at a time. */
  async #spill(): Promise<void> {
    if (this.#spilling || this.#memory.length === 0) return;
    this.#spilling = true;
    const parts = this.#memory.slice();
    const bytes = parts.reduce((sum, part) => sum + part.bytes.length, 0);
    let moved = true;
    try {
      const segment = await this.#segment();
      await writeParts(this.#fd!, parts.map((part) => part.bytes), segment.end - segment.start);
      if (this.#disposed) return;
      segment.end += bytes;
      LOGS.diskBytes += bytes;
      this.#forget(parts.length);
    } catch {
      // The disk is full, most likely: older output makes room for newer. What cannot be written stays in memory, as far as that goes.
      moved = !this.#disposed && this.#makeDo();
    } finally {
      this.#spilling = false;
      if (this.#closed) this.#closeFile();
    }
    this.#trim();
    if (moved && this.#memoryBytes >= SPILL_BYTES) void this.#spill();
  }

  async #segment(): Promise<Segment> {
    const last = this.#segments.at(-1);
    if (last !== undefined && this.#fd !== null && last.end - last.start < SEGMENT_BYTES) return last;
    this.#closeFile();
    const start = this.#memory[0]!.start;
    const path = LOGS.file(`${this.#name}.${start}`);
    this.#fd = await openFile(path, 'w', 0o600);
    const segment: Segment = { path, start, end: start };
    if (this.#disposed) unlink(path, () => undefined);
    else this.#segments.push(segment);
    return segment;
  }

  #forget(parts: number): void {
    let bytes = 0;
    for (const part of this.#memory.splice(0, parts)) bytes += part.bytes.length;
    this.#memoryBytes -= bytes;
    LOGS.memoryBytes -= bytes;
  }

  /** @returns whether another attempt may go better */
  #makeDo(): boolean {
    const needed = this.#needed();
    const oldest = this.#segments[0];
    if (oldest !== undefined) {
      if (oldest.end > needed) return false;
      this.#dropSegment();
      if (this.#segments.length === 0) this.#closeFile();
      // One that holds nothing is the one that could not be written.
      if (oldest.end > oldest.start) return true;
    }
    let parts = 0;
    for (let bytes = this.#memoryBytes; bytes > MEMORY_BYTES / 2; parts++) {
      const { start, bytes: { length } } = this.#memory[parts]!;
      if (start + length > needed) break;
      bytes -= length;
    }
    this.#forget(parts);
    return false;
  }

  /** Drops what is over the limits and no reader still has to see. */
  #trim(): void {
    while (this.#segments.length > 1 && (this.#end - this.start > LOG_BYTES || (!this.#closed && LOGS.overDisk)) && this.#segments[0]!.end <= this.#needed()) this.#dropSegment();
    if (!this.full) this.#tellRoom();
  }

  #needed(): number {
    let needed = Infinity;
    for (const reader of this.#readers) needed = Math.min(needed, reader.pinned);
    return needed;
  }

  #dropSegment(): void {
    const segment = this.#segments.shift()!;
    LOGS.diskBytes -= segment.end - segment.start;
    unlink(segment.path, () => undefined);
  }

  #closeFile(): void {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) void closeFile(fd);
  }

  #tellRoom(): void {
    if (this.#stallTimer !== null) clearInterval(this.#stallTimer);
    this.#stallTimer = null;
    for (const listener of this.#room.splice(0)) listener();
  }

  #wakeReaders(): void {
    for (const reader of this.#readers) reader.wake();
  }

  #watchForStall(): void {
    this.#stallTimer ??= setInterval(() => {
      const oldest = this.#segments[0];
      for (const reader of this.#readers) {
        if (oldest !== undefined && reader.pinned < oldest.end && performance.now() - reader.progressMs > STALL_MS) reader.abandon();
      }
      this.#trim();
      void this.#spill();
    }, STALL_CHECK_MS).unref();
  }
}

async function writeParts(fd: number, parts: readonly Buffer[], position: number): Promise<void> {
  // The kernel takes 1,024 pieces in one call.
  for (let at = 0; at < parts.length; at += 1024) {
    const batch = parts.slice(at, at + 1024);
    const bytes = batch.reduce((sum, part) => sum + part.length, 0);
    const written = await new Promise<number>((resolve, reject) => writev(fd, batch, position, (error, count) => (error ? reject(error) : resolve(count))));
    if (written < bytes) throw Object.assign(new Error('no space left for the log'), { code: 'ENOSPC' });
    position += bytes;
  }
}
