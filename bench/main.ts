/**
 * `npm run bench`: one run, one machine, Paddock through the official SDK beside Docker with the same root file system.
 * `npm run bench -- --quick` takes fewer samples, `--only=latency,volumes` only these series. Exit code 1 when a figure of SPECIFICATION.md is missed.
 */
import { spawn } from 'node:child_process';
import type { Paddock } from '../e2e/support/harness.ts';
import { startServer } from './server.ts';
import { archives } from './archive.ts';
import { builds } from './builds.ts';
import { Docker } from './docker.ts';
import { images } from './images.ts';
import { objectStore } from './object-store.ts';
import { latency } from './latency.ts';
import { memory } from './idle-memory.ts';
import { toolbox } from './toolbox.ts';
import { transfers } from './transfers.ts';
import { volumes } from './volumes.ts';
import type { Figure } from './stats.ts';

const quick = process.argv.includes('--quick');
const figures: Figure[] = [];

const SERIES: Readonly<Record<string, (paddock: Paddock, docker: Docker | null, quick: boolean) => Promise<Figure[]>>> = {
  latency,
  toolbox,
  transfers: (paddock, _, quick) => transfers(paddock, quick),
  memory,
  volumes: (paddock, _, quick) => volumes(paddock, quick),
  builds: (paddock, _, quick) => builds(paddock, quick),
  archives: (paddock) => archives(paddock),
  images,
  objects: (paddock, _, quick) => objectStore(paddock, quick),
};
const asked = process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length).split(',') ?? null;
const only = asked?.every((name) => name in SERIES) ?? true ? asked : fail(`--only takes a list of: ${Object.keys(SERIES).join(', ')}`);

console.log(`Paddock bench: ${new Date().toISOString()}, ${quick ? 'quick' : 'full'} run`);
let docker: Docker | null = null;
const paddock = await startServer({ warmPool: '0' });
try {
  if (only !== null && !only.some((name) => ['latency', 'toolbox'].includes(name))) {
    console.log('Docker is not needed for this.');
  } else if (Docker.available()) {
    docker = await Docker.start(() =>
      spawn('nsenter', ['-t', String(paddock.pids().runner), '-m', 'sh', '-c', `tar -C ${paddock.layout.dataDir}/pool/layers/*/ -c .`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }));
  } else {
    console.log('dockerd is not installed (Debian: docker.io): no ratios to Docker in this run.');
  }
  for (const [name, measure] of Object.entries(SERIES)) {
    if (only === null || only.includes(name)) figures.push(...(await measure(paddock, docker, quick)));
  }
} finally {
  await docker?.stop();
  await paddock.stop();
}

console.log('\nFigures');
for (const figure of figures) {
  console.log(`  ${figure.met ? 'met   ' : 'MISSED'} ${figure.what.padEnd(52)} ${figure.measured.padStart(14)}   (${figure.limit})`);
}
process.exitCode = figures.every((figure) => figure.met) ? 0 : 1;

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
