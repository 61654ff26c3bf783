/** Puts objects, one after the other, until it is killed: a client in a process of its own. usage: put-large.ts <access as JSON> <key> <MiB> */
import { Readable } from 'node:stream';
import { openBlobs } from '@paddock/store';

const [access = '', key = '', mib = ''] = process.argv.slice(2);
const blobs = openBlobs(JSON.parse(access));
const chunk = Buffer.alloc(64 * 1024, 'y');
for (;;) await blobs.put(key, Readable.from((function* () { for (let i = 0; i < Number(mib) * 16; i += 1) yield chunk; })(), { objectMode: false }));
