/**
 * Local volumes: their input and output beside that of the sandbox's own disk, and what it costs a create to have one.
 * usage: node scripts/run.mjs bench/volumes.ts [--quick], or from bench/main.ts
 */
import { Daytona } from '@daytona/sdk';
import { startServer } from './server.ts';
import type { Paddock } from '../e2e/support/types.ts';
import { atLeast, measure, row, series, timed, type Figure } from './stats.ts';

/**
 * One round in a directory, in seconds a job. Reads come from the file system, not from memory: what was written is synced and
 * dropped from the cache before.
 */
const JOBS = `
import json, os, random, shutil, sys, time
where, seen = sys.argv[1], {}
os.makedirs(where, exist_ok=True)
block, page, path = os.urandom(1 << 20), os.urandom(4096), os.path.join(where, "file")

def job(name, work):
    began = time.perf_counter(); work(); seen[name] = time.perf_counter() - began

def drop(fd):
    os.fsync(fd); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

def sequential_write():
    with open(path, "wb", 0) as file:
        for _ in range(256): file.write(block)
        os.fsync(file.fileno())

def sequential_read():
    with open(path, "rb", 0) as file:
        while file.read(1 << 20): pass

def random_write():
    with open(path, "r+b", 0) as file:
        for _ in range(4000): file.seek(random.randrange(65536) * 4096); file.write(page)
        os.fsync(file.fileno())

def random_read():
    with open(path, "rb", 0) as file:
        for _ in range(4000): file.seek(random.randrange(65536) * 4096); file.read(4096)

def small_files():
    for i in range(3000):
        with open(os.path.join(where, f"s{i}"), "wb") as file: file.write(page)
    for entry in os.scandir(where): entry.stat()
    for i in range(3000):
        with open(os.path.join(where, f"s{i}"), "rb") as file: file.read()

job("sequential write, 256 MiB", sequential_write)
with open(path, "rb") as file: drop(file.fileno())
job("sequential read, 256 MiB", sequential_read)
job("random write, 4,000 x 4 KiB", random_write)
with open(path, "rb") as file: drop(file.fileno())
job("random read, 4,000 x 4 KiB", random_read)
job("small files, 3,000 written, listed, read", small_files)
shutil.rmtree(where)
print(json.dumps(seen))
`;

/** A volume may be a tenth slower than the sandbox's own disk. */
const LEAST_RATIO = 0.9;

export async function volumes(paddock: Paddock, quick: boolean): Promise<Figure[]> {
  console.log('\nLocal volume beside the sandbox\'s own disk');
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const volume = await daytona.volume.create(`bench-${Date.now()}`);
  const sandbox = await daytona.create({ volumes: [{ volumeId: volume.id, mountPath: '/data' }] });
  try {
    await sandbox.fs.uploadFile(Buffer.from(JOBS), 'jobs.py');
    const seconds: Record<string, { disk: number[]; volume: number[] }> = {};
    for (let round = -1; round < (quick ? 3 : 9); round += 1) {
      // In turn, so that what else the machine does meets both alike.
      const order = round % 2 === 0 ? (['disk', 'volume'] as const) : (['volume', 'disk'] as const);
      for (const where of order) {
        const { result, exitCode } = await sandbox.process.executeCommand(`python3 jobs.py ${where === 'disk' ? '/home/daytona/bench' : '/data/bench'}`, undefined, undefined, 300);
        if (exitCode !== 0) throw new Error(result);
        if (round < 0) continue;
        for (const [job, took] of Object.entries(JSON.parse(result) as Record<string, number>)) ((seconds[job] ??= { disk: [], volume: [] })[where]).push(took);
      }
    }
    return Object.entries(seconds).map(([job, { disk, volume: there }]) => {
      const [own, shared] = [series('', disk).p50 * 1000, series('', there).p50 * 1000];
      console.log(`${job.padEnd(44)} disk p50 ${own.toFixed(0).padStart(6)} ms   volume p50 ${shared.toFixed(0).padStart(6)} ms   n ${disk.length}`);
      return atLeast(`volume against own disk: ${job.split(',')[0]}`, own / shared, LEAST_RATIO, 'x');
    });
  } finally {
    await sandbox.delete();
    await daytona.volume.delete(volume);
  }
}

/** Needs a warm pool: creates from it with a volume and without, and cold ones. */
async function mounting(paddock: Paddock, quick: boolean): Promise<void> {
  console.log('\nCreates with and without a volume');
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const n = quick ? 5 : 20;
  console.log(row(await measure('volume.create', n, (i) => daytona.volume.create(`bench-${Date.now()}-${i}`))));
  const volume = await daytona.volume.create(`bench-${Date.now()}`);
  const forms = [['warm', 'daytona-small'], ['cold', 'daytona-large']] as const;
  for (const [kind, snapshot] of forms) {
    for (const mounts of [[], [{ volumeId: volume.id, mountPath: '/home/daytona/data', subpath: 'a/b' }]]) {
      const samples: number[] = [];
      for (let i = -2; i < n; i += 1) {
        await paddock.warmPoolFull();
        let id = '';
        const took = await timed(async () => {
          id = (await daytona.create({ snapshot, volumes: mounts })).id;
        });
        if (i >= 0) samples.push(took);
        await (await daytona.get(id)).delete();
      }
      console.log(row(series(`${kind} create${mounts.length > 0 ? ' with a volume' : ''}`, samples)));
    }
  }
}

if (import.meta.main) {
  const quick = process.argv.includes('--quick');
  const paddock = await startServer({ warmPool: 'daytona-small=2' });
  try {
    for (const figure of await volumes(paddock, quick)) console.log(`  ${figure.met ? 'met   ' : 'MISSED'} ${figure.what.padEnd(52)} ${figure.measured} (${figure.limit})`);
    await mounting(paddock, quick);
  } finally {
    await paddock.stop();
  }
}
