import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Layout } from '@paddock/contract';
import { asUser, inView, type View } from '../host/private-mounts.ts';
import { ensureServiceUser } from '../host/service-user.ts';
import { linkLibraries, postgresHome } from './binaries.ts';
import { initialise, POSTGRES_ROLE } from './initialise.ts';
import { clearLeftovers } from './leftovers.ts';

/** A running embedded PostgreSQL. */
export interface Postgres {
  /** For `pg`: unix socket, role and database `paddock`. */
  readonly url: string;
  readonly pid: number;
  /** Settles when the server is gone, by `stop` or otherwise. */
  readonly exited: Promise<void>;
  /** Fast shutdown: open transactions are rolled back. */
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** Only postgresDataDir, postgresSocketDir and runDir are used. */
  readonly layout: Pick<Layout, 'postgresDataDir' | 'postgresSocketDir' | 'runDir'>;
  readonly serviceUser: string;
  /** Gets every line of the server's log. */
  readonly log?: (line: string) => void;
}

/**
 * Sized for a control plane: a pool of some 20 connections and tables of a few MB. Durability is PostgreSQL's default
 * (fsync, synchronous commit): an acknowledged sandbox survives a power cut.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  min_wal_size: '64MB',
  // Nobody replicates from an embedded server.
  wal_level: 'minimal',
  max_wal_senders: '0',
  // Reads come from the page cache: worker processes for them would only cost memory.
  io_method: 'sync',
  max_parallel_workers: '0',
  max_worker_processes: '2',
  jit: 'off',
  huge_pages: 'off',
  lc_messages: 'C',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '',
  // Statements hold values of users; the failing ones are logged by their error alone.
  log_min_error_statement: 'panic',
};

/** Time for a fast shutdown before the server is ended the hard way (which costs a recovery at the next start). */
const STOP_MS = 10_000;

/** Starts the server (making the database at first) and returns once it accepts connections. */
export async function startPostgres({ layout, serviceUser, log = () => {} }: PostgresOptions): Promise<Postgres> {
  const user = ensureServiceUser(serviceUser);
  const { postgresDataDir: dataDir, postgresSocketDir: socketDir } = layout;
  const viewDir = join(layout.runDir, 'pg-view');
  mkdirSync(join(dataDir, '..'), { recursive: true, mode: 0o700 });
  mkdirSync(socketDir, { recursive: true, mode: 0o755 });
  chmodSync(socketDir, 0o700);
  if (process.getuid?.() === 0) chownSync(socketDir, user.uid, user.gid);

  const view: View = { home: postgresHome(), data: dataDir };
  const home = inView(viewDir, view, 'home');
  const libraries = linkLibraries(join(layout.runDir, 'pg-lib'), home);
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}) };

  await initialise(dataDir, user, viewDir, postgresHome(), env);
  await clearLeftovers(dataDir, socketDir);

  const settings = Object.entries({ ...SETTINGS, unix_socket_directories: socketDir }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const command = asUser(user, viewDir, view, 'INT', { file: join(home, 'bin/postgres'), args: ['-D', inView(viewDir, view, 'data'), ...settings] });
  // A process group of its own: Ctrl-C in a terminal is for the supervisor, which stops the database last.
  const child = spawn(command.file, command.args, { stdio: ['ignore', 'ignore', 'pipe'], env, cwd: '/', detached: true });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await ready(child, log);
  return {
    url: `postgresql:///${POSTGRES_ROLE}?host=${encodeURIComponent(socketDir)}&user=${POSTGRES_ROLE}`,
    pid: child.pid ?? 0,
    exited,
    async stop() {
      child.kill('SIGINT');
      const hard = setTimeout(() => child.kill('SIGQUIT'), STOP_MS);
      await exited;
      clearTimeout(hard);
    },
  };
}

/** Resolves on the log line with which the server opens for connections. */
function ready(child: ChildProcess, log: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    let open = false;
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (!open) reject(new Error(`PostgreSQL did not start (${signal ?? `exit status ${code}`}):\n${said.join('\n')}`));
    });
    if (!child.stderr) return reject(new Error('PostgreSQL was started without a log'));
    createInterface({ input: child.stderr }).on('line', (line) => {
      log(line);
      if (open) return;
      said.push(line);
      if (line.includes('database system is ready to accept connections')) {
        open = true;
        resolve();
      }
    });
  });
}
