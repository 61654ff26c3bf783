import { createHash, randomBytes, randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { DiskBlobs } from '@paddock/store';

// Writes, composes, copies and removes without end until it is killed. Each blob's ETag is the md5 of its content and its metadata holds a rising
// number, which is printed with the key once the write returned.
const blobs = new DiskBlobs(process.argv[2]!);
const md5 = (content: Buffer) => createHash('md5').update(content).digest('hex');
const put = (key: string, content: Buffer, sequence: number) => blobs.put(key, Readable.from([content], { objectMode: false }), { metadata: { sequence: String(sequence) } });
let sequence = Number(process.argv[3]);

await Promise.all(Array.from({ length: 4 }, async (_, writer) => {
  for (;;) {
    const key = `w${writer}/${'deep/'.repeat(randomInt(3))}key`;
    const mine = (sequence += 1);
    const contents = Array.from({ length: randomInt(1, 4) }, () => randomBytes(randomInt(1, 400_000)));
    if (contents.length === 1) await put(key, contents[0]!, mine);
    else {
      const parts = contents.map((_, i) => `parts/${writer}/${i}`);
      for (const [i, part] of parts.entries()) await put(part, contents[i]!, 0);
      await blobs.compose(key, parts, { etag: md5(Buffer.concat(contents)), metadata: { sequence: String(mine) } });
    }
    writeSync(1, `${key} ${mine}\n`);
    if (randomInt(3) === 0) await blobs.copy(key, `copies/${writer}`);
    if (randomInt(4) === 0) await blobs.remove(`copies/${writer}`);
  }
}));
