/** `npm run chaos [-- kills [seed]]`: the long form, 100 kills unless told otherwise, then 1,000 create/delete cycles. */
import { Daytona } from '@daytona/sdk';
import { startPaddock } from '../support/harness.ts';
import { chaos } from './chaos.ts';

const kills = Number(process.argv[2] ?? 100);
const seed = process.argv[3] === undefined ? undefined : Number(process.argv[3]);
const cycles = Number(process.argv[4] ?? 1000);

const paddock = await startPaddock({ warmPool: 'daytona-small=2' });
let failed = false;
try {
  const report = await chaos(paddock, { kills, seed, log: (line) => console.log(line) });
  console.log(JSON.stringify(report, null, 2));
  failed = report.problems.length > 0;

  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  for (let i = 0; i < cycles; i += 1) {
    await (await daytona.create()).delete(60, true);
    if (i % 50 === 49) console.log(`create/delete ${i + 1}/${cycles}`);
  }
} finally {
  await paddock.stop();
}
const left = paddock.leftovers();
if (left.length > 0) {
  failed = true;
  console.log(`left over after stop:\n${left.join('\n')}`);
}
console.log(failed ? 'chaos: FAILED' : 'chaos: every promise held');
process.exitCode = failed ? 1 : 0;
