// `npm run quickstart`: from a fresh clone to code that ran in a sandbox, with the server left running.
// `npm run quickstart -- --stop` stops the server. Plain JavaScript for Node 20; the rest runs on the pinned Node.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { node, root, runScript, setup } from './setup.mjs';

await runScript(() => {
  setup();
  const stop = process.argv.includes('--stop');
  const args = stop ? [join(root, 'dist/cli.mjs'), 'down'] : [join(root, 'scripts/quickstart.ts')];
  process.exitCode = spawnSync(node, args, { stdio: 'inherit' }).status ?? 1;
});
