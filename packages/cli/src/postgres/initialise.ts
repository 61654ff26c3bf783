import { spawn } from 'node:child_process';
import { chownSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { asUser, type Command, inView, type View } from '../host/private-mounts.ts';
import type { ServiceUser } from '../host/service-user.ts';

/** Role and database of Paddock; also the bootstrap superuser of the cluster. */
export const POSTGRES_ROLE = 'paddock';

/**
 * Makes the database cluster when there is none. It is made beside its place and renamed: a start that is killed half
 * way leaves nothing that looks like a database.
 */
export async function initialise(dataDir: string, user: ServiceUser, viewDir: string, home: string, env: NodeJS.ProcessEnv): Promise<void> {
  if (existsSync(join(dataDir, 'PG_VERSION'))) {
    if (process.getuid?.() === 0 && statSync(dataDir).uid !== user.uid) {
      throw new Error(`${dataDir} belongs to another user than ${user.name} (${user.uid}). Set PADDOCK_SERVICE_USER to its owner.`);
    }
    return;
  }
  const staging = `${dataDir}.new`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { mode: 0o700 });
  if (process.getuid?.() === 0) chownSync(staging, user.uid, user.gid);

  const view: View = { home, data: staging };
  const data = inView(viewDir, view, 'data');
  const bin = join(inView(viewDir, view, 'home'), 'bin');
  const run = (command: Command, input = '') => complete(asUser(user, viewDir, view, 'KILL', command), input, env);
  await run({
    file: join(bin, 'initdb'),
    // The builtin provider sorts by code point: the order is the same on every machine and survives library upgrades.
    args: ['-D', data, '-U', POSTGRES_ROLE, '--auth=trust', '--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--no-instructions'],
  });
  await run({ file: join(bin, 'postgres'), args: ['--single', '-D', data, 'postgres'] }, `CREATE DATABASE ${POSTGRES_ROLE};\n`);

  renameSync(staging, dataDir);
  const parent = openSync(dirname(dataDir), 'r');
  fsyncSync(parent);
  closeSync(parent);
}

function complete(command: Command, input: string, env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, { stdio: ['pipe', 'pipe', 'pipe'], env, cwd: '/' });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`Setting up the database failed (${signal ?? `exit status ${code}`}):\n${said.trim()}`)),
    );
    child.stdin.end(input);
  });
}
