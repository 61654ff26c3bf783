import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Blobs, DiskBlobs, type PutOptions } from '@paddock/store';

export interface TestStore extends AsyncDisposable {
  readonly root: string;
  readonly blobs: DiskBlobs;
}

export function diskStore(): TestStore {
  const root = mkdtempSync(join(tmpdir(), 'paddock-blobs-'));
  const blobs = new DiskBlobs(root);
  return {
    root,
    blobs,
    async [Symbol.asyncDispose]() {
      blobs.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export const putText = (blobs: Blobs, key: string, text: string | Buffer, options?: PutOptions) => blobs.put(key, Readable.from([Buffer.from(text)], { objectMode: false }), options);

export async function read(blobs: Blobs, key: string, first?: number, last?: number): Promise<Buffer | null> {
  const found = await blobs.get(key, first === undefined ? undefined : { first, last: last! });
  return found && buffer(found.body);
}

export async function readText(blobs: Blobs, key: string, first?: number, last?: number): Promise<string | null> {
  return (await read(blobs, key, first, last))?.toString() ?? null;
}

/** Keys and prefixes of all pages. */
export async function listAll(blobs: Blobs, prefix: string, limit = 1000, delimiter?: string): Promise<{ keys: string[]; prefixes: string[]; pages: number }> {
  const [keys, prefixes]: [string[], string[]] = [[], []];
  let after: string | undefined;
  for (let pages = 1; ; pages++) {
    const page = await blobs.list(prefix, { after, limit, delimiter });
    keys.push(...page.blobs.map(({ key }) => key));
    prefixes.push(...page.prefixes);
    if (page.next === null) return { keys, prefixes, pages };
    after = page.next;
  }
}
