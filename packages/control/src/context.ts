import type { Layout, PaddockConfig } from '@paddock/contract';
import type { Logger } from 'pino';
import type { Authenticator } from './auth/index.ts';
import type { Database } from './db/index.ts';
import type { Announcer } from './events/index.ts';
import type { Readiness } from './health/readiness.ts';
import type { DockerRegistries, OwnRegistry } from './docker-registry/index.ts';
import type { Images } from './images/index.ts';
import type { ObjectStore } from './object-storage/index.ts';
import type { Organizations } from './organizations/index.ts';
import type { Regions } from './regions/index.ts';
import type { Settings } from './settings/index.ts';
import type { Snapshots } from './snapshots/index.ts';

/** What every domain is given: the instance's settings and the services of the domains it may ask. */
export interface ControlContext {
  readonly config: PaddockConfig;
  readonly layout: Layout;
  readonly log: Logger;
  readonly db: Database;
  readonly auth: Authenticator;
  readonly announcer: Announcer;
  readonly settings: Settings;
  readonly readiness: Readiness;
  readonly objects: ObjectStore;
  readonly organizations: Organizations;
  readonly regions: Regions;
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly dockerRegistries: DockerRegistries;
  readonly registry: OwnRegistry;
}
