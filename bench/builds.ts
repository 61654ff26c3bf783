import { Daytona, Image } from '@daytona/sdk';
import type { Paddock } from '../e2e/support/harness.ts';
import { atMost, row, series, timed, type Figure } from './stats.ts';

/** What the big image holds above the slim one, in MiB: with it the image has 2 GiB. */
const BIG_MIB = 1_650;

/** Images from Dockerfiles: an unchanged one again, and sandboxes from a large one beside sandboxes from the slim one. */
export async function builds(paddock: Paddock, quick: boolean): Promise<Figure[]> {
  console.log('\nImages from Dockerfiles, through the SDK');
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const image = Image.base('paddock/slim').runCommands(`dd if=/dev/urandom of=/opt/big bs=1M count=${BIG_MIB} status=none`);
  const first = await timed(() => daytona.snapshot.create({ name: 'bench-big', image }, { timeout: 900 }));
  console.log(`first build of a 2 GiB image (makes the builder, too)  ${(first / 1000).toFixed(1)} s`);

  const again: number[] = [];
  for (let i = 0; i < 5; i += 1) again.push(await timed(() => daytona.snapshot.create({ name: `bench-again-${i}`, image }, { timeout: 900 })));
  const rebuild = series('the same image again', again);
  console.log(row(rebuild));

  const slim: number[] = [];
  const big: number[] = [];
  for (let i = -2; i < (quick ? 10 : 30); i += 1) {
    for (const [samples, snapshot] of [[slim, 'daytona-small'], [big, 'bench-big']] as const) {
      const began = performance.now();
      const sandbox = await daytona.create({ snapshot });
      await sandbox.process.codeRun('print(1)');
      if (i >= 0) samples.push(performance.now() - began);
      await sandbox.delete(60, true);
    }
  }
  const [small, large] = [series('create -> first codeRun, slim image', slim), series('create -> first codeRun, 2 GiB image', big)];
  console.log(row(small));
  console.log(row(large, `${(large.p50 / small.p50).toFixed(2)}x the slim image's`));
  for (const { name, id } of (await daytona.snapshot.list()).items) if (name.startsWith('bench-')) await daytona.snapshot.delete({ id } as never);
  return [
    atMost('rebuild of an unchanged image p50', rebuild.p50 / 1000, 1, 's'),
    // A tenth is what two series of the same thing differ by.
    atMost('create from a 2 GiB image, beside slim', large.p50 / small.p50, 1.1, 'x'),
  ];
}
