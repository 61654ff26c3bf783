import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diskStore, listAll, putText, readText } from './support.ts';

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What a listing with a delimiter must say, from the definition. */
function folded(keys: readonly string[], prefix: string, delimiter: string): { keys: string[]; prefixes: string[] } {
  const plain: string[] = [];
  const prefixes = new Set<string>();
  for (const key of keys.filter((candidate) => candidate.startsWith(prefix)).sort(byBytes)) {
    const at = key.indexOf(delimiter, prefix.length);
    if (at < 0) plain.push(key);
    else prefixes.add(key.slice(0, at + delimiter.length));
  }
  return { keys: plain, prefixes: [...prefixes].sort(byBytes) };
}

const AWKWARD = [
  'a', 'a/b', 'a/', 'a//b', '/', '/a', '.', '..', '../../etc/passwd', './x', 'a-b', 'a.b', 'a0', 'a/b/c', 'ä', 'ä/ö', '\u{1f600}', 'z\n\t"\\', '%2e%2e', 'f', 'd', 'l',
  'x'.repeat(119), 'x'.repeat(120), 'x'.repeat(121), `${'x'.repeat(120)}/`, `${'x'.repeat(120)}/y`, `${'x'.repeat(120)}-`, `${'x'.repeat(119)}é${'y'.repeat(200)}`,
  'y'.repeat(1024), 'é'.repeat(512), '/'.repeat(1024), 'a/'.repeat(512), `${'q'.repeat(300)}/${'r'.repeat(300)}`,
];

test('any key of up to 1024 bytes holds its blob and is listed in the order of bytes', async () => {
  await using store = diskStore();
  for (const key of AWKWARD) await putText(store.blobs, key, `content of ${key}`);
  for (const key of AWKWARD) expect(await readText(store.blobs, key)).toBe(`content of ${key}`);
  const sorted = [...AWKWARD].sort(byBytes);
  expect((await listAll(store.blobs, '')).keys).toEqual(sorted);
  expect((await listAll(store.blobs, '', 1)).keys).toEqual(sorted);
  for (const key of AWKWARD) await store.blobs.remove(key);
  expect((await listAll(store.blobs, '')).keys).toEqual([]);
});

test.for(['', 'a\0b', '\ud800', 'x'.repeat(1025), 'é'.repeat(513)])('key %j is refused', async (key) => {
  await using store = diskStore();
  for (const attempt of [() => putText(store.blobs, key, ''), () => store.blobs.get(key), () => store.blobs.head(key), () => store.blobs.remove(key)]) {
    await expect(attempt()).rejects.toMatchObject({ code: 'INVALID_KEY' });
  }
});

test('a listing is what its definition says, for any keys, prefix, delimiter and page size', async () => {
  const segment = fc.oneof(fc.constantFrom('', 'a', 'ab', 'b', '-', '.', '..', 'é', 'x'.repeat(120)), fc.string({ unit: 'grapheme', maxLength: 4 }).map((text) => text.replaceAll(/[\0/]/g, '_')));
  const key = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')).filter((text) => text !== '' && text.isWellFormed());
  await fc.assert(fc.asyncProperty(fc.uniqueArray(key, { maxLength: 25 }), fc.nat(), fc.nat(12), fc.constantFrom('/', '-', 'b', '//'), fc.integer({ min: 1, max: 5 }), async (keys, pick, cut, delimiter, limit) => {
    await using store = diskStore();
    await Promise.all(keys.map((each) => putText(store.blobs, each, each)));
    const prefix = keys.length === 0 ? '' : [...keys[pick % keys.length]!].slice(0, cut).join('');
    const matching = keys.filter((each) => each.startsWith(prefix)).sort(byBytes);
    expect((await listAll(store.blobs, prefix, limit)).keys).toEqual(matching);
    const { keys: plain, prefixes } = await listAll(store.blobs, prefix, limit, delimiter);
    expect({ keys: plain, prefixes }).toEqual(folded(keys, prefix, delimiter));
    const middle = matching[Math.floor(matching.length / 2)];
    if (middle !== undefined) {
      const rest = await store.blobs.list(prefix, { after: middle, limit: 1000 });
      expect(rest.blobs.map((blob) => blob.key)).toEqual(matching.filter((each) => byBytes(each, middle) > 0));
    }
  }), { numRuns: 60 });
});
