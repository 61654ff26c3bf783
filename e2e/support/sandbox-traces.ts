import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Layout } from '@paddock/contract';
import { findCgroups } from '@paddock/cli';

const root = fileURLToPath(new URL('../..', import.meta.url));
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Network slots that the runner keeps ready (8) and the one it may be making. */
const SPARE_SLOTS = 9;

/**
 * What exists of sandboxes on the host, by every trace that one has: cgroup, disk, record, run directory, link. Those that wait in
 * the warm pool are no leftovers.
 * @param runner pid of the runner: only its mount namespace shows the pool
 */
export function findSandboxTraces(layout: Layout, runner: number | null): string[] {
  const warm = warmSandboxes(layout);
  const pool = runner === null ? null : `/proc/${runner}/root${layout.dataDir}/pool`;
  const traces: Array<readonly [what: string, id: string]> = [
    ...[...new Set(findCgroups(layout).map((path) => basename(path)))].map((id) => ['cgroup', id] as const),
    ...names(`${layout.runDir}/sandboxes`).map((id) => ['run directory', id] as const),
    ...(pool === null ? [] : names(`${pool}/disks`).map((id) => ['disk', id] as const)),
    ...(pool === null ? [] : names(`${pool}/records`).map((name) => ['record', name.replace(/\.json$/, '')] as const)),
  ];
  const left = traces.filter(([, id]) => UUID.test(id) && !warm.has(id)).map(([what, id]) => `${what} of ${id}`);
  const links = spawnSync('ip', ['-netns', layout.routerNetns, '-oneline', 'link', 'show', 'type', 'veth'], { encoding: 'utf8' }).stdout.match(/^\d+: s\d+@/gm) ?? [];
  const spare = links.length - warm.size;
  return spare > SPARE_SLOTS ? [...left, `${spare} network slots although at most ${SPARE_SLOTS} are kept ready`] : left;
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // no sandbox was ever made
  }
}

/** Asked in a program of its own: the caller wants the answer at once, and the database's client has no such call. */
function warmSandboxes(layout: Layout): Set<string> {
  const program = `
    import pg from 'pg';
    const client = new pg.Client({ host: process.argv[1], user: 'paddock', database: 'paddock' });
    await client.connect();
    const { rows } = await client.query("select id from sandboxes where organization_id = '00000000-0000-0000-0000-000000000000' and state <> 'destroyed'");
    console.log(rows.map((row) => row.id).join('\\n'));
    await client.end();`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', program, layout.postgresSocketDir], { cwd: root, encoding: 'utf8' });
  return new Set(done.stdout.split('\n').filter(Boolean));
}
