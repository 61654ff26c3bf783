import type { Migration } from '../migrate.ts';

export const volumes: Migration = {
  name: '0006_volumes',
  sql: `
-- One row a volume. state only changes by the moves of volumes/states.ts.
create table volumes (
  id uuid primary key,
  organization_id uuid not null,
  name text not null,
  -- local: on the runner's pool; s3: in the object store.
  driver text not null,
  state text not null,
  error_reason text,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  last_used_at timestamptz(3)
);
-- A name is free again as soon as its volume is to be deleted.
create unique index volumes_name on volumes (organization_id, name) where state in ('pending_create', 'creating', 'ready', 'error');
create index volumes_of_organization on volumes (organization_id);
create index volumes_pending on volumes (updated_at) where state in ('pending_create', 'creating', 'pending_delete', 'deleting');

-- [{volumeId, driver, mountPath, subpath}], decided at creation and never changed for one owner.
alter table sandboxes add column volumes jsonb not null default '[]';
create index sandboxes_volumes on sandboxes using gin (volumes jsonb_path_ops) where volumes <> '[]';
`,
};
