/**
 * `npm run bench`: one run, one machine, Paddock through the official SDK beside Docker with the same root file system.
 * `npm run bench -- --quick` takes fewer samples. Exit code 1 when a figure of SPECIFICATION.md is missed.
 */
import { spawn } from 'node:child_process';
import { startPaddock } from '../e2e/support/harness.ts';
import { archives } from './archive.ts';
import { builds } from './builds.ts';
import { Docker } from './docker.ts';
import { images } from './images.ts';
import { latency } from './latency.ts';
import { memory } from './idle-memory.ts';
import { toolbox } from './toolbox.ts';
import { transfers } from './transfers.ts';
import { volumes } from './volumes.ts';
import type { Figure } from './stats.ts';

const quick = process.argv.includes('--quick');
const figures: Figure[] = [];

console.log(`Paddock bench: ${new Date().toISOString()}, ${quick ? 'quick' : 'full'} run`);
let docker: Docker | null = null;
const paddock = await startPaddock({ warmPool: '0' });
try {
  if (Docker.available()) {
    docker = await Docker.start(() =>
      spawn('nsenter', ['-t', String(paddock.pids().runner), '-m', 'sh', '-c', `tar -C ${paddock.layout.dataDir}/pool/layers/*/ -c .`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }));
  } else {
    console.log('dockerd is not installed (Debian: docker.io): no ratios to Docker in this run.');
  }
  figures.push(...(await latency(paddock, docker, quick)));
  figures.push(...(await toolbox(paddock, docker, quick)));
  figures.push(...(await transfers(paddock, quick)));
  figures.push(...(await memory(paddock)));
  figures.push(...(await volumes(paddock, quick)));
  figures.push(...(await builds(paddock, quick)));
  figures.push(...(await archives(paddock, quick)));
  figures.push(...(await images(paddock)));
} finally {
  await docker?.stop();
  await paddock.stop();
}

console.log('\nFigures');
for (const figure of figures) {
  console.log(`  ${figure.met ? 'met   ' : 'MISSED'} ${figure.what.padEnd(52)} ${figure.measured.padStart(14)}   (${figure.limit})`);
}
process.exitCode = figures.every((figure) => figure.met) ? 0 : 1;
