import { afterAll, beforeAll, expect, test } from 'vitest';
import { Mirror } from '../snapshots/mirror.ts';
import { throughHttps } from './https.ts';
import { drive } from './python.ts';

const mirror = new Mirror();
beforeAll(async () => {
  await mirror.start();
  await mirror.publish('library/python:3.12-slim');
});
afterAll(() => mirror.stop());

test('what the Python SDK takes from the client\'s disk is in the image: packages, directories, files, a Dockerfile\'s context', async ({ skip }) => {
  await throughHttps(async (_, trusting) => {
    expect(await drive('local_files.py', skip, undefined, trusting)).toEqual({
      image: [
        "['1.0', '2.0b1', '3.0', '4.0']", "ModuleNotFoundError: No module named 'tinye'", '/srv/several words\nran\nunicoderun.sh\nempty', 'blanks', 'it\'s $HOME "x"', 'started',
      ],
      dockerfile: ["app\noneinline\none"],
    });
  });
}, 300_000);
