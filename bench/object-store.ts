/**
 * The embedded object store with the credentials a client gets: many small objects put and listed, one large one put and got, and what
 * clients that put without a pause cost others: the API's answers meanwhile. By itself: `node scripts/run.mjs bench/object-store.ts [--quick]`, or from bench/main.ts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ObjectAccess, StorageAccess } from '@paddock/contract';
import { type Blobs, openBlobs } from '@paddock/store';
import { startServer } from './server.ts';
import { answering } from './answering.ts';
import type { Paddock } from '../e2e/support/types.ts';
import { atMost, type Figure, row, series, timed } from './stats.ts';

const AT_ONCE = 16;
const LARGE_MIB = 512;
const CLIENTS = 4;
const MEASURED_MS = 5_000;

/** @returns figures of SPECIFICATION.md: neither putting nor listing gets slower with what is there */
export async function objectStore(paddock: Paddock, quick: boolean): Promise<Figure[]> {
  const blobs = openBlobs(await access(paddock));
  const quarter = quick ? 500 : 2500;
  const [puts, lists]: [number[], number[]] = [[], []];
  for (let part = 0; part < 4; part += 1) {
    puts.push(await timed(() => putSmall(blobs, part * quarter, quarter)));
    lists.push((await timed(() => listAll(blobs))) / (part + 1));
  }
  console.log(`\nObject store: ${4 * quarter} objects of 1 KiB in one folder, ${AT_ONCE} at once, in quarters`);
  console.log(`  put   ${puts.map((ms) => `${Math.round((quarter / ms) * 1000)}/s`).join('  ')}`);
  console.log(`  list  ${lists.map((ms) => `${Math.round((quarter / ms) * 1000)}/s`).join('  ')}`);

  const [up, down]: [number[], number[]] = [[], []];
  for (let round = 0; round < (quick ? 1 : 3); round += 1) {
    up.push(await timed(() => blobs.put('large', large())));
    down.push(await timed(() => read(blobs)));
  }
  const speeds = (samples: readonly number[]) => `${samples.map((ms) => Math.round((LARGE_MIB / ms) * 1000)).join(', ')} MiB/s`;
  console.log(`  one object of ${LARGE_MIB} MiB: put ${speeds(up)}; got ${speeds(down)}`);
  for (const { name, samples } of await answersDuringPuts(paddock, await access(paddock), quick ? 1 : 3)) console.log(row(series(`  API answer, ${name}`, samples)));
  return [
    atMost('object store: last quarter of puts to first', puts[3]! / puts[0]!, 1.5, 'x'),
    atMost('object store: listing a key of 4n to one of n', lists[3]! / lists[0]!, 1.5, 'x'),
  ];
}

/**
 * Answers of the API by itself, while as many other processes keep the processors busy as there are clients, and while those clients put
 * without a pause: what the second costs is the machine's doing, what the third costs beyond it is the store's.
 */
async function answersDuringPuts(paddock: Paddock, access: ObjectAccess, rounds: number) {
  const putting = fileURLToPath(new URL('put-large.ts', import.meta.url));
  const answers = [
    { name: 'idle', samples: [] as number[], program: null },
    { name: `${CLIENTS} busy processes`, samples: [] as number[], program: () => ['-e', 'for (;;);'] },
    { name: `${CLIENTS} clients that put`, samples: [] as number[], program: (client: number) => [putting, JSON.stringify(access), `large-${client}`, String(LARGE_MIB)] },
  ];
  for (let round = 0; round < rounds; round += 1) {
    for (const { samples, program } of answers) {
      const clients = program === null ? [] : Array.from({ length: CLIENTS }, (_, client) => spawn(process.execPath, program(client), { stdio: 'ignore' }));
      if (clients.length > 0) await sleep(1000); // started
      await answering(paddock, sleep(MEASURED_MS), samples);
      await Promise.all(clients.map(async (client) => {
        const ended = once(client, 'exit');
        client.kill('SIGKILL');
        await ended;
      }));
    }
  }
  return answers;
}

async function access(paddock: Paddock): Promise<ObjectAccess> {
  const reply = await fetch(`${paddock.apiUrl}/object-storage/push-access`, { headers: { authorization: `Bearer ${paddock.apiKey}` } });
  const { storageUrl, accessKey, secret, sessionToken, bucket, region, organizationId } = (await reply.json()) as StorageAccess;
  return { endpoint: storageUrl, region, bucket, prefix: `${organizationId}/`, accessKey, secretKey: secret, sessionToken };
}

async function putSmall(blobs: Blobs, from: number, count: number): Promise<void> {
  const content = Buffer.alloc(1024, 'x');
  let next = from;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < from + count) await blobs.put(`small/${String(next++).padStart(6, '0')}`, Readable.from([content], { objectMode: false }));
  }));
}

async function listAll(blobs: Blobs): Promise<void> {
  let after: string | undefined;
  do after = (await blobs.list('small/', { limit: 1000, after })).next ?? undefined;
  while (after !== undefined);
}

function large(): Readable {
  const chunk = Buffer.alloc(64 * 1024, 'y');
  return Readable.from((function* () { for (let i = 0; i < LARGE_MIB * 16; i += 1) yield chunk; })(), { objectMode: false });
}

async function read(blobs: Blobs): Promise<void> {
  for await (const _ of (await blobs.get('large'))!.body);
}

if (import.meta.main) {
  const paddock = await startServer({ warmPool: '0' });
  try {
    const figures = await objectStore(paddock, process.argv.includes('--quick'));
    for (const { met, what, measured, limit } of figures) console.log(`${met ? 'met   ' : 'MISSED'} ${what}: ${measured} (${limit})`);
  } finally {
    await paddock.stop();
  }
}
