import { Daytona } from '@daytona/sdk';
import type { Paddock } from '../e2e/support/harness.ts';
import { startServer } from './server.ts';
import type { Docker } from './docker.ts';
import { atLeast, atMost, measure, row, series, timed, type Figure } from './stats.ts';

/** Create, first code and exec, cold and warm, and a burst; docker run and docker exec are sampled in between. */
export async function latency(cold: Paddock, docker: Docker | null, quick: boolean): Promise<Figure[]> {
  const figures: Figure[] = [];
  const n = quick ? 10 : 40;
  const daytona = new Daytona({ apiUrl: cold.apiUrl, apiKey: cold.apiKey });

  console.log('\nCreate to first result, no sandbox kept ready (warm pool off)');
  const dockerRun: number[] = [];
  const samples: number[] = [];
  for (let i = -2; i < n; i += 1) {
    const start = performance.now();
    const sandbox = await daytona.create();
    const done = await sandbox.process.codeRun('print(1)');
    if (i >= 0) samples.push(performance.now() - start);
    if (done.result !== '1\n') throw new Error(`unexpected result ${JSON.stringify(done)}`);
    await sandbox.delete(60, true);
    if (docker !== null && i >= 0 && i < n / 2) dockerRun.push(await timed(() => docker.runPython()));
  }
  const coldRun = series('cold create -> first codeRun', samples);
  const dockerRunSeries = docker === null ? null : series(`docker run --rm python3 -c 'print(1)'`, dockerRun);
  console.log(row(coldRun, dockerRunSeries === null ? '' : `${(dockerRunSeries.p50 / coldRun.p50).toFixed(1)}x faster than docker run`));
  if (dockerRunSeries !== null) console.log(row(dockerRunSeries));
  figures.push(atMost('cold create -> first codeRun p50', coldRun.p50, 130, 'ms'));
  if (dockerRunSeries !== null) figures.push(atLeast('  ratio to docker run', dockerRunSeries.p50 / coldRun.p50, 2, 'x'));
  await coldTrace(cold, quick ? 5 : 20);

  console.log('\nCommands in a running sandbox');
  const sandbox = await daytona.create();
  const exec = await measure(`executeCommand('true')`, n * 5, () => sandbox.process.executeCommand('true'), 20);
  let dockerExec = null;
  if (docker !== null) {
    const idle = await docker.idle();
    dockerExec = await measure('docker exec true', n, () => docker.exec(['exec', idle, 'true']));
  }
  console.log(row(exec, dockerExec === null ? '' : `${(dockerExec.p50 / exec.p50).toFixed(1)}x faster than docker exec`));
  if (dockerExec !== null) console.log(row(dockerExec));
  console.log(row(await measure(`codeRun('print(1)')`, n, () => sandbox.process.codeRun('print(1)'))));
  await sandbox.delete(60, true);
  figures.push(atMost(`executeCommand('true') p50`, exec.p50, 8, 'ms'));
  if (dockerExec !== null) figures.push(atLeast('  ratio to docker exec', dockerExec.p50 / exec.p50, 5, 'x'));

  console.log('\nBurst of 50 creates at once, none kept ready');
  const began = performance.now();
  const settled = await Promise.allSettled(Array.from({ length: 50 }, () => daytona.create()));
  const burstMs = performance.now() - began;
  const failed = settled.filter((one) => one.status === 'rejected');
  console.log(`all 50 started after ${(burstMs / 1000).toFixed(2)} s, ${failed.length} failed`);
  for (const one of failed.slice(0, 3)) console.log(`  ${String((one as PromiseRejectedResult).reason)}`);
  figures.push(atMost('burst of 50 creates, all started', burstMs / 1000, 5, 's'), atMost('  failed', failed.length, 0, ''));
  await Promise.all(settled.map((one) => (one.status === 'fulfilled' ? one.value.delete(60, true) : null)));

  console.log('\nCreate to first result with warm pool');
  const warm = await startServer({ warmPool: 'daytona-small=4' });
  try {
    const client = new Daytona({ apiUrl: warm.apiUrl, apiKey: warm.apiKey });
    const warmSamples: number[] = [];
    for (let i = -2; i < n; i += 1) {
      await warm.warmPoolFull();
      const start = performance.now();
      const ready = await client.create();
      await ready.process.codeRun('print(1)');
      if (i >= 0) warmSamples.push(performance.now() - start);
      await ready.delete(60, true);
    }
    const warmRun = series('warm create -> first codeRun', warmSamples);
    console.log(row(warmRun, dockerRunSeries === null ? '' : `${(dockerRunSeries.p50 / warmRun.p50).toFixed(1)}x faster than docker run`));
    figures.push(atMost('warm create -> first codeRun p50', warmRun.p50, 40, 'ms'));
  } finally {
    await warm.stop();
  }
  return figures;
}

/** Where a cold create's time goes: the steps the server reports in `Server-Timing`, as medians of their end times. */
async function coldTrace(paddock: Paddock, n: number): Promise<void> {
  const steps = new Map<string, number[]>();
  for (let i = 0; i < n; i += 1) {
    const began = performance.now();
    const reply = await fetch(`${paddock.apiUrl}/sandbox`, {
      method: 'POST', body: '{}', headers: { 'Authorization': `Bearer ${paddock.apiKey}`, 'Content-Type': 'application/json' },
    });
    const { id } = (await reply.json()) as { id: string };
    const total = performance.now() - began;
    for (const part of (reply.headers.get('server-timing') ?? '').split(',').filter(Boolean)) {
      const match = /^\s*([^;]+);dur=([\d.]+)/.exec(part);
      if (match !== null) (steps.get(match[1]!) ?? steps.set(match[1]!, []).get(match[1]!)!).push(Number(match[2]));
    }
    (steps.get('client saw the reply') ?? steps.set('client saw the reply', []).get('client saw the reply')!).push(total);
    await fetch(`${paddock.apiUrl}/sandbox/${id}`, { method: 'DELETE', headers: { Authorization: `Bearer ${paddock.apiKey}` } });
  }
  console.log('  where the time of a cold POST /sandbox goes (median end of each step, ms after the request arrived):');
  for (const [step, samples] of steps) console.log(`    ${step.padEnd(28)} ${series(step, samples).p50.toFixed(1).padStart(7)}`);
}
