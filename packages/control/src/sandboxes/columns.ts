import type { Sandbox } from './sandbox.ts';

/** Column of each field of a row. */
export const COLUMNS: Readonly<Record<keyof Sandbox, string>> = {
  id: 'id',
  organizationId: 'organization_id',
  name: 'name',
  regionId: 'region_id',
  snapshot: 'snapshot',
  buildInfo: 'build_info',
  image: 'image',
  entrypoint: 'entrypoint',
  osUser: 'os_user',
  userGiven: 'user_given',
  env: 'env',
  labels: 'labels',
  public: 'public',
  cpu: 'cpu',
  memory: 'memory',
  disk: 'disk',
  gpu: 'gpu',
  state: 'state',
  desiredState: 'desired_state',
  revision: 'revision',
  errorReason: 'error_reason',
  recoverable: 'recoverable',
  forceStop: 'force_stop',
  autoStopInterval: 'auto_stop_interval',
  autoArchiveInterval: 'auto_archive_interval',
  autoDeleteInterval: 'auto_delete_interval',
  autoDestroyAt: 'auto_destroy_at',
  networkBlockAll: 'network_block_all',
  networkAllowList: 'network_allow_list',
  volumes: 'volumes',
  runnerId: 'runner_id',
  daemonVersion: 'daemon_version',
  authToken: 'auth_token',
  signingKey: 'signing_key',
  warmKey: 'warm_key',
  archiveId: 'archive_id',
  archive: 'archive',
  backupState: 'backup_state',
  backupCreatedAt: 'backup_created_at',
  resizeTo: 'resize_to',
  diskGrownPercent: 'disk_grown_percent',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  stateChangedAt: 'state_changed_at',
  lastActivityAt: 'last_activity_at',
};

/** Select list that yields a `Sandbox` from the table (or CTE) named `s`. */
export const SANDBOX = Object.entries(COLUMNS).map(([field, column]) => `s.${column} as "${field}"`).join(', ');

const JSON_FIELDS: ReadonlySet<string> = new Set(['env', 'labels', 'entrypoint', 'buildInfo', 'volumes', 'archive', 'resizeTo']);

/** Value as the driver must get it: it would turn a JavaScript array into a PostgreSQL array, not into jsonb. */
export function toColumn(field: string, value: unknown): unknown {
  return JSON_FIELDS.has(field) && value !== null ? JSON.stringify(value) : value;
}
