import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Paddock, startPaddock } from '../support/harness.ts';
import { chaos } from './chaos.ts';

let paddock: Paddock;
beforeAll(async () => {
  paddock = await startPaddock({ warmPool: 'daytona-small=1' });
});
afterAll(async () => {
  await paddock.stop();
  expect(paddock.leftovers()).toEqual([]);
});

test('after ten kills at random moments every sandbox is where its record says and nothing is left over', async () => {
  const report = await chaos(paddock, { kills: 10, log: (line) => console.log(line) });
  console.log(JSON.stringify(report));
  expect(report.problems).toEqual([]);
  expect(report.creates).toBeGreaterThan(0);
}, 300_000);
