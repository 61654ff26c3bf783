/** One entry of a tar, whatever dialect wrote it. Names are bytes, one to a character (latin1): a file system has no encoding. */

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

export interface TarEntry {
  readonly type: EntryType;
  readonly name: string;
  readonly linkName: string;
  /** Permission bits with set-uid, set-gid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds. */
  readonly mtime: number;
  /** Of the file, holes included. */
  readonly size: number;
  /** Where the data goes, ascending; null: it is the whole file. */
  readonly segments: readonly Segment[] | null;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export interface Segment {
  readonly offset: number;
  readonly length: number;
}

/** What a layer must not be, as a sentence. */
export class BadLayer extends Error {}

/** For messages. */
export function shown(name: string): string {
  return JSON.stringify(Buffer.from(name.slice(0, 200), 'latin1').toString('utf8'));
}
