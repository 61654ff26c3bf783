// Second half of the quickstart, on the pinned Node: start the server unless it runs, wait for it, run code through the SDK.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Layout, layoutOf } from '@paddock/contract';
import { type InstanceState, progressLine, readState, resolveConfig, runningInstance } from '@paddock/cli';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = join(root, 'dist/cli.mjs');

const settings = resolveConfig({ flags: {}, env: process.env, configFile: null });
if (!settings.ok) {
  for (const problem of settings.problems) console.error(problem);
  process.exit(2);
}
const { dataDir, runRoot, adminApiKey } = settings.config;
const layout = layoutOf(dataDir, runRoot);
const logFile = join(layout.logDir, 'paddock.log');
const credentialsFile = join(dataDir, 'credentials.json');

const running = runningInstance(layout) !== null;
const known = adminApiKey ?? keptKey();
if (running && known === null) {
  console.error(`A server already runs on ${dataDir}. Set PADDOCK_ADMIN_API_KEY to the key it printed at its first start.`);
  process.exit(1);
}
const apiKey = known ?? `dtn_${randomBytes(32).toString('hex')}`;
if (!running) await start();
const state = await ready(layout);

const apiUrl = `${state.publicUrl}/api`;
const { demo } = await import('./quickstart-demo.ts');
await demo(apiUrl, apiKey);

console.log(`
Paddock is running.

  API URL  ${apiUrl}
  API key  ${apiKey}
  Log      ${logFile}

Next, in a project of your own:

  npm install @daytona/sdk
  export DAYTONA_API_URL=${apiUrl}
  export DAYTONA_API_KEY=${apiKey}

API documentation: ${apiUrl}    Stop the server: npm run quickstart -- --stop`);
process.exit(0);

/** The key of an earlier run. */
function keptKey(): string | null {
  return existsSync(credentialsFile) ? (JSON.parse(readFileSync(credentialsFile, 'utf8')) as { apiKey: string }).apiKey : null;
}

/** Starts the server so that it outlives this script and its terminal; returns once it has said that it exists. */
function start(): Promise<void> {
  console.log('==> Starting Paddock');
  mkdirSync(layout.logDir, { recursive: true, mode: 0o700 });
  mkdirSync(layout.runDir, { recursive: true, mode: 0o755 });
  writeFileSync(credentialsFile, `${JSON.stringify({ apiKey })}\n`, { mode: 0o600 });
  const log = openSync(logFile, 'a', 0o600);
  const server = spawn(process.execPath, [cli, 'up'], { detached: true, stdio: ['ignore', log, log], cwd: '/', env: { ...process.env, PADDOCK_ADMIN_API_KEY: apiKey } });
  closeSync(log);
  server.once('exit', (status) => giveUp(`The server ended while it started (exit status ${status}).`));
  server.unref();
  return follow(layout, () => runningInstance(layout) !== null);
}

/** Waits, with progress, until the server has made its first image. */
async function ready(of: Layout): Promise<InstanceState> {
  const shown = process.stdout.isTTY;
  let said = '';
  let tenth = -1;
  await follow(of, () => {
    const now = readState(of);
    if (now?.phase === 'failed') giveUp(`The default image could not be made: ${now.progress?.text}`);
    if (now?.phase === 'preparing' && now.progress) {
      // Without a terminal a line for each tenth: nobody watches, somebody may read.
      const line = shown ? `\r\x1b[K${progressLine(now.progress, process.stdout.columns || 80)}` : `    ${Math.round(now.progress.fraction * 100)}% ${now.progress.text}\n`;
      const due = shown ? line !== said : Math.floor(now.progress.fraction * 10) !== tenth;
      if (due) process.stdout.write(line);
      said = line;
      tenth = Math.floor(now.progress.fraction * 10);
    }
    return now?.phase === 'ready';
  });
  if (said && shown) process.stdout.write('\r\x1b[K');
  const now = readState(of);
  if (!now) return giveUp('The server stopped.');
  return now;
}

/** Calls `done` now and whenever the instance's state file was replaced, until it says true. */
function follow({ runDir }: Layout, done: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(runDir, check);
    // The server may be killed without a last word.
    const timer = setInterval(check, 1_000);
    function check(): void {
      if (!done()) return;
      watcher.close();
      clearInterval(timer);
      resolve();
    }
    check();
  });
}

function giveUp(reason: string): never {
  console.error(`\n${reason}\nThe end of ${logFile}:\n`);
  spawnSync('tail', ['-n', '20', logFile], { stdio: 'inherit' });
  process.exit(1);
}
