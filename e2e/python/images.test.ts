import { afterAll, beforeAll, expect, test } from 'vitest';
import { Mirror } from '../snapshots/mirror.ts';
import { drive } from './python.ts';

const mirror = new Mirror();
beforeAll(async () => {
  await mirror.start();
  await mirror.publish('library/python:3.12-slim');
});
afterAll(() => mirror.stop());

test('the Python SDK, sync and async: declarative images with their logs, snapshots, failures', async ({ skip }) => {
  expect(await drive('images.py', skip)).toEqual({
    declarative: ['started', 'note U\npython\n/home'], declarative_logs: true, snapshot: ['active', true], listed: true, from_snapshot: [true, 'python'],
    deleted: 'DaytonaNotFoundError', pulled: ['active', 2, 2, 4], failed: ['DaytonaError', true, true], async: ['started', 'fine', true],
  });
}, 300_000);
