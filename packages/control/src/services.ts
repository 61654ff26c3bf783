import { layoutOf, type PaddockConfig } from '@paddock/contract';
import type { Logger } from 'pino';
import { Authenticator } from './auth/index.ts';
import type { ControlContext } from './context.ts';
import { Database } from './db/index.ts';
import { Announcer } from './events/index.ts';
import { DockerRegistries, ecrTokens, OwnRegistry } from './docker-registry/index.ts';
import { Readiness } from './health/readiness.ts';
import { createObjectStore } from './object-storage/index.ts';
import { Images } from './images/index.ts';
import { Organizations } from './organizations/index.ts';
import { Regions } from './regions/index.ts';
import { Settings } from './settings/index.ts';
import { Snapshots } from './snapshots/index.ts';

/** Builds the services that domains share. Nothing is connected yet. @param blobRoot directory of the embedded object store, when its own path does not lead there */
export function createContext(config: PaddockConfig, log: Logger, blobRoot?: string): ControlContext {
  if (config.databaseUrl === null) throw new Error('The control plane was started without a database URL.');
  const db = new Database(config.databaseUrl, log);
  const readiness = new Readiness();
  readiness.add('database', async () => ((await db.isUp()) ? null : 'does not answer'));
  const settings = new Settings(db);
  const announcer = new Announcer();
  const images = new Images(db, announcer);
  const regions = new Regions(db);
  // Each needs the other, at the time of a request only.
  const snapshots: Snapshots = new Snapshots({ db, images, announcer, regions, rules: (id) => organizations.rules(id) });
  const organizations = new Organizations(db, snapshots);
  const layout = layoutOf(config.dataDir, config.runRoot);
  const objects = createObjectStore(config, settings, blobRoot ?? layout.blobDir);
  return {
    config,
    layout,
    log,
    db,
    auth: new Authenticator(db, log, config.healthApiKey),
    announcer,
    settings,
    readiness,
    objects,
    organizations,
    regions,
    images,
    snapshots,
    dockerRegistries: new DockerRegistries({ db, settings, ecr: ecrTokens(config.amazon) }),
    registry: new OwnRegistry({ config, db, settings, objects, organizations, regions, log }),
  };
}
