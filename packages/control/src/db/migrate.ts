import type { Logger } from 'pino';
import type { Database } from './database.ts';
import { unnamedPlan } from './plan.ts';

/** One step of the schema. Never edited once released: a change is a further migration. */
export interface Migration {
  /** Four digits and a name; the order of names is the order of application. */
  readonly name: string;
  readonly sql: string;
}

/** Applies what is missing, each migration in a transaction of its own, one control plane at a time. */
export async function migrate(db: Database, migrations: readonly Migration[], log: Logger): Promise<void> {
  await db.withLock('migrate', async () => {
    await db.run(unnamedPlan('CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())'));
    const applied = await db.query<{ name: string }>(unnamedPlan('SELECT name FROM migrations'));
    const done = new Set(applied.map((row) => row.name));
    for (const migration of migrations.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (done.has(migration.name)) continue;
      await db.tx(async (tx) => {
        await tx.run(unnamedPlan(migration.sql));
        await tx.run(unnamedPlan('INSERT INTO migrations (name) VALUES ($1)', [migration.name]));
      });
      log.info({ migration: migration.name }, 'schema migrated');
    }
  }, { timeoutMs: 300_000 });
}
