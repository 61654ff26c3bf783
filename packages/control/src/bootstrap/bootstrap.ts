import { PERMISSIONS, type PaddockConfig } from '@paddock/contract';
import { generateApiKey, insertApiKey, storedParts } from '../api-keys/index.ts';
import type { Database, Queryable } from '../db/index.ts';
import { ensureOwner, ensurePersonalOrganization } from '../organizations/index.ts';
import { ensureSharedRegion } from '../regions/index.ts';
import { markOnce } from '../settings/index.ts';
import { StartRefused } from '../start-refused.ts';
import { ensureGeneralSnapshot, type GeneralSnapshot } from '../snapshots/index.ts';
import { ensureAdminUser } from '../users/index.ts';

/** wire: the administrator's fixed id. */
export const ADMIN_USER_ID = 'daytona-admin';

/** The sizes that the official documentation promises. */
export const DEFAULT_SNAPSHOTS: readonly Omit<GeneralSnapshot, 'image'>[] = [
  { name: 'daytona-small', cpu: 1, memoryGiB: 1, diskGiB: 3 },
  { name: 'daytona-medium', cpu: 2, memoryGiB: 4, diskGiB: 8 },
  { name: 'daytona-large', cpu: 4, memoryGiB: 8, diskGiB: 10 },
];

/** Short enough to type, too long to guess at a few thousand tries a second. */
const SHORTEST_ADMIN_KEY = 16;

/**
 * Makes what every installation has: region, administrator with a personal organization and an API key, default snapshots.
 * Safe to repeat at each start and in several control planes at once.
 * @param announceKey gets a generated key, once in the installation's life; nobody can read it again
 */
export async function bootstrap(db: Database, config: PaddockConfig, announceKey: (key: string) => void): Promise<void> {
  const problem = config.adminApiKey === null ? null : adminKeyProblem(config.adminApiKey);
  if (problem) throw new StartRefused(problem);
  await db.withLock('bootstrap', () => db.tx(async (tx) => {
    await tx.run(ensureSharedRegion(config.region));
    await tx.run(ensureAdminUser(ADMIN_USER_ID, 'Paddock Admin', 'admin@localhost'));
    const organization = await tx.one(ensurePersonalOrganization(ADMIN_USER_ID, config.region));
    await tx.run(ensureOwner(organization!.id, ADMIN_USER_ID));
    for (const snapshot of DEFAULT_SNAPSHOTS) await tx.run(ensureGeneralSnapshot(organization!.id, config.region, { ...snapshot, image: config.image.default }));
    await ensureAdminKey(tx, organization!.id, config.adminApiKey, announceKey);
  }));
}

/** A key that the operator sets is added beside the earlier ones; those stay until deleted. */
async function ensureAdminKey(tx: Queryable, organizationId: string, chosen: string | null, announceKey: (key: string) => void): Promise<void> {
  const first = await markOnce(tx, 'admin-key-issued');
  if (chosen === null && !first) return;
  const value = chosen ?? generateApiKey();
  const parts = storedParts(value);
  const name = chosen === null ? 'admin' : `admin-${parts.hash.slice(0, 8)}`;
  await tx.one(insertApiKey({ ...parts, organizationId, userId: ADMIN_USER_ID, name, permissions: PERMISSIONS, expiresAt: null }));
  // Before the commit: a key that was announced but not kept is replaced at the next start, the other way round it would be lost.
  if (chosen === null) announceKey(value);
}

function adminKeyProblem(key: string): string | null {
  if (key.length < SHORTEST_ADMIN_KEY) return `PADDOCK_ADMIN_API_KEY must have at least ${SHORTEST_ADMIN_KEY} characters. Make one with: echo dtn_$(openssl rand -hex 32)`;
  if (!/^[\x21-\x7e]+$/.test(key)) return 'PADDOCK_ADMIN_API_KEY must consist of printable ASCII characters without spaces: it travels in an HTTP header.';
  return null;
}
