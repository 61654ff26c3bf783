import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { DiskBlobs } from '@paddock/store';
import { expect, test, vi } from 'vitest';
import { diskStore, listAll, putText, read, readText } from './support.ts';

const md5 = (content: string | Buffer) => createHash('md5').update(content).digest('hex');
const entries = (root: string, directory: string) => readdirSync(join(root, directory), { recursive: true });

test('a blob keeps content, size, ETag, type and metadata, also for the next process', async () => {
  await using store = diskStore();
  const content = randomBytes(700_000);
  const put = await putText(store.blobs, 'some/key', content, { contentType: 'text/x', metadata: { colour: 'grün' } });
  expect(put).toMatchObject({ key: 'some/key', size: 700_000, etag: md5(content), contentType: 'text/x', metadata: { colour: 'grün' } });
  const again = new DiskBlobs(store.root);
  expect(await again.head('some/key')).toEqual(put);
  expect((await again.list('', { limit: 10 })).blobs).toEqual([put]);
  expect((await read(again, 'some/key'))!.equals(content)).toBe(true);
  expect((await read(again, 'some/key', 100, 199))!.equals(content.subarray(100, 200))).toBe(true);
  expect(await again.head('some')).toBeNull();
  expect(await again.get('some/key/more')).toBeNull();
});

test.for([0, 1, 1000, 131_072, 131_073, 600_000])('%i bytes come back, whole and in part', async (size) => {
  await using store = diskStore();
  const content = randomBytes(size);
  await putText(store.blobs, 'k', content);
  expect((await read(store.blobs, 'k'))!.equals(content)).toBe(true);
  if (size > 0) expect((await read(store.blobs, 'k', size - 1, size - 1))!.equals(content.subarray(-1))).toBe(true);
});

test('the last finished write wins and a reader under way keeps what it began to read', async () => {
  await using store = diskStore();
  const old = randomBytes(2_000_000);
  await putText(store.blobs, 'k', old);
  const reader = (await store.blobs.get('k'))!;
  await putText(store.blobs, 'k', 'new');
  expect(await readText(store.blobs, 'k')).toBe('new');
  await store.blobs.remove('k');
  expect((await buffer(reader.body)).equals(old)).toBe(true);
  expect(await store.blobs.get('k')).toBeNull();
  await store.blobs.remove('k');
});

test('a body that fails stores nothing, leaves the blob that was there and no file', async () => {
  await using store = diskStore();
  await putText(store.blobs, 'k', 'old');
  const failing = Readable.from((async function* () {
    yield randomBytes(300_000);
    throw new Error('the client went away');
  })());
  await expect(store.blobs.put('k', failing)).rejects.toThrow('the client went away');
  expect(await readText(store.blobs, 'k')).toBe('old');
  expect(entries(store.root, 'tmp')).toEqual([]);
});

test('content of another md5 than the expected one is not stored', async () => {
  await using store = diskStore();
  await expect(putText(store.blobs, 'k', 'content', { md5: md5('other') })).rejects.toMatchObject({ code: 'BAD_DIGEST' });
  await expect(putText(store.blobs, 'k', 'content', { md5: md5('other'), etag: 'given' })).rejects.toMatchObject({ code: 'BAD_DIGEST' });
  expect(await store.blobs.head('k')).toBeNull();
  expect(await putText(store.blobs, 'k', 'content', { md5: md5('content'), etag: 'given' })).toMatchObject({ etag: 'given' });
});

test('ifAbsent lets exactly one of many through', async () => {
  await using store = diskStore();
  const tries = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => putText(store.blobs, 'lock', `writer ${i}`, { ifAbsent: true })));
  expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const each of tries) if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'BLOB_EXISTS' });
  expect(entries(store.root, 'tmp')).toEqual([]);
});

test('writers and removers of neighbours do not disturb each other, and no directory stays', async () => {
  await using store = diskStore();
  await Promise.all(Array.from({ length: 40 }, async (_, i) => {
    for (let round = 0; round < 10; round++) {
      await putText(store.blobs, `deep/er/${i % 4}/${i}`, `${round}`);
      expect(await readText(store.blobs, `deep/er/${i % 4}/${i}`)).toBe(`${round}`);
      await store.blobs.remove(`deep/er/${i % 4}/${i}`);
    }
  }));
  expect(entries(store.root, 'tree')).toEqual([]);
});

test('a listing follows what is written and removed between its pages', async () => {
  await using store = diskStore();
  const name = (i: number) => `n/${String(i).padStart(4, '0')}`;
  await Promise.all(Array.from({ length: 600 }, (_, i) => putText(store.blobs, name(i * 2), '')));
  const first = await store.blobs.list('n/', { limit: 100 });
  expect(first.next).toBe(name(198));
  await putText(store.blobs, name(201), '');
  await store.blobs.remove(name(200));
  const second = await store.blobs.list('n/', { limit: 2, after: first.next! });
  expect(second.blobs.map(({ key }) => key)).toEqual([name(201), name(202)]);
  expect((await listAll(store.blobs, 'n/', 70)).keys).toHaveLength(600);
});

test('parts are composed without a copy of their bytes and are gone afterwards', async () => {
  await using store = diskStore();
  const parts = [randomBytes(1_000_000), Buffer.alloc(0), randomBytes(5), randomBytes(400_000)];
  for (const [i, part] of parts.entries()) await putText(store.blobs, `parts/${i}`, part);
  const inode = statSync(join(store.root, 'tree/dparts/f0')).ino;
  const info = await store.blobs.compose('whole', ['parts/0', 'parts/1', 'parts/2', 'parts/3'], { contentType: 'a/b' });
  const whole = Buffer.concat(parts);
  expect(info).toMatchObject({ size: whole.length, contentType: 'a/b', etag: `${md5(Buffer.concat(parts.map((part) => Buffer.from(md5(part), 'hex'))))}-4` });
  expect((await listAll(store.blobs, '')).keys).toEqual(['whole']);
  expect((await read(store.blobs, 'whole'))!.equals(whole)).toBe(true);
  for (const [first, last] of [[0, 0], [999_999, 1_000_004], [1_000_003, 1_000_010], [1_400_004, 1_400_004], [5, 1_300_000]] as const) {
    expect((await read(store.blobs, 'whole', first, last))!.equals(whole.subarray(first, last + 1))).toBe(true);
  }
  const [id = ''] = readdirSync(join(store.root, 'pieces'));
  expect(statSync(join(store.root, 'pieces', id, '0')).ino).toBe(inode);

  await putText(store.blobs, 'tail', 'tail');
  await store.blobs.compose('longer', ['whole', 'tail']);
  expect((await read(store.blobs, 'longer'))!.equals(Buffer.concat([whole, Buffer.from('tail')]))).toBe(true);
  const reader = (await store.blobs.get('longer'))!;
  await store.blobs.remove('longer');
  expect((await buffer(reader.body)).equals(Buffer.concat([whole, Buffer.from('tail')]))).toBe(true);
  await vi.waitFor(() => expect(entries(store.root, 'pieces')).toEqual([]));
});

test('composing of a missing part makes nothing and keeps the others', async () => {
  await using store = diskStore();
  await putText(store.blobs, 'one', '1');
  await expect(store.blobs.compose('whole', ['one', 'two'])).rejects.toMatchObject({ code: 'NO_SUCH_BLOB' });
  expect((await listAll(store.blobs, '')).keys).toEqual(['one']);
  expect(entries(store.root, 'pieces')).toEqual([]);
});

test.for([10, 2_000_000])('a copy of %i bytes stands on its own', async (size) => {
  await using store = diskStore();
  const content = randomBytes(size);
  const source = await putText(store.blobs, 'a', content, { contentType: 't/t', metadata: { x: 'y' } });
  expect(await store.blobs.copy('a', 'b')).toMatchObject({ etag: source.etag, contentType: 't/t', metadata: { x: 'y' }, size });
  await store.blobs.copy('b', 'b', { metadata: { z: '1' }, contentType: 'u/u' });
  await store.blobs.remove('a');
  expect(await store.blobs.head('b')).toMatchObject({ etag: source.etag, contentType: 'u/u', metadata: { z: '1' } });
  expect((await read(store.blobs, 'b'))!.equals(content)).toBe(true);
  await expect(store.blobs.copy('a', 'c')).rejects.toMatchObject({ code: 'NO_SUCH_BLOB' });
});

test('what a killed process left is removed at the next start, and nothing else', async () => {
  await using store = diskStore();
  await putText(store.blobs, 'part', randomBytes(200_000));
  await store.blobs.compose('whole', ['part']);
  const before = await read(store.blobs, 'whole');
  writeFileSync(join(store.root, 'tmp/half-written'), 'x');
  for (const [id, index] of [['unfinished', null], ['never-committed', '{"key":"whole","pieces":[]}'], ['of-nobody', '{"key":"gone","pieces":[]}']] as const) {
    mkdirSync(join(store.root, 'pieces', id));
    writeFileSync(join(store.root, 'pieces', id, '0'), 'x');
    if (index !== null) writeFileSync(join(store.root, 'pieces', id, 'index'), index);
  }
  const again = new DiskBlobs(store.root);
  await again.open();
  await vi.waitFor(() => expect(readdirSync(join(store.root, 'pieces'))).toHaveLength(1));
  expect(entries(store.root, 'tmp')).toEqual([]);
  expect((await read(again, 'whole'))!.equals(before!)).toBe(true);
});

test('a blob of blobs has a bound: contents of contents cannot be multiplied', async () => {
  await using store = diskStore();
  const { blobs, root } = store;
  const parts = Array.from({ length: 110 }, (_, i) => `part-${i}`);
  for (const part of parts) await putText(blobs, part, 'x'.repeat(2000));
  const { size } = await blobs.compose('composed', parts);
  const copies = Array.from({ length: 100 }, (_, i) => `copy-${i}`);
  for (const copy of copies) await blobs.copy('composed', copy);
  const before = readdirSync(join(root, 'pieces')).length;
  await expect(blobs.compose('multiplied', copies)).rejects.toMatchObject({ code: 'TOO_MANY_PIECES' });
  expect([readdirSync(join(root, 'pieces')).length, readdirSync(join(root, 'tmp'))]).toEqual([before, []]);
  expect((await blobs.compose('fewer', copies.slice(0, 90))).size).toBe(90 * size);
});
