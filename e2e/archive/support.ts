import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { layoutOf } from '@paddock/contract';
import '../sdk/support.ts';

export { until } from './wait.ts';

async function query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = [], socketDir = inject('postgresSocketDir')): Promise<Row[]> {
  const client = new pg.Client({ host: socketDir, user: 'paddock', database: 'paddock' });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Files of the embedded object store that hold archives of a sandbox, by their paths. */
export async function objectsOf(sandboxId: string, dataDir = inject('dataDir')): Promise<string[]> {
  const { blobDir, postgresSocketDir } = layoutOf(dataDir);
  const ids = (await query<{ id: string }>('select id from archives where sandbox_id = $1', [sandboxId], postgresSocketDir)).map(({ id }) => id);
  return readdirSync(join(blobDir, 'tree'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => ids.some((id) => path.includes(id)));
}

/** Turns a byte in the middle of an object over. @returns undo */
export function damage(path: string): () => void {
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.with(Math.floor(bytes.length / 2), bytes[Math.floor(bytes.length / 2)]! ^ 1));
  return () => writeFileSync(path, bytes);
}

/** As if so many minutes had passed since the stop. The clock looks once a minute or when an interval changes. */
export async function pretendStoppedFor(sandboxId: string, minutes: number): Promise<void> {
  await query(`update sandboxes set last_activity_at = now() - $2 * interval '1 minute' where id = $1`, [sandboxId, minutes]);
}
