import type { Migration } from '../migrate.ts';

export const images: Migration = {
  name: '0004_images',
  sql: `
-- One row an image that the runner's store has or is to have. States change by the moves of images/states.ts.
create table images (
  name text primary key,
  -- What it is made of; never holds a credential, those are looked up at each attempt.
  source jsonb not null,
  -- Whose credentials open its registries; null for recipes.
  organization_id uuid,
  state text not null check (state in ('pending', 'preparing', 'ready', 'failed', 'removing')),
  reason text,
  size_bytes bigint,
  -- What the image says of itself (RunnerImageConfig), once it is there.
  config jsonb,
  -- Attempts in a row that failed for a reason that may pass, and when the next is due.
  attempts integer not null default 0,
  retry_at timestamptz(3),
  -- Set while identical builds of the organization share it.
  build_hash text,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  last_used_at timestamptz(3) not null default now()
);
create unique index images_build on images (organization_id, build_hash) where build_hash is not null;
create index images_sandbox on images ((source ->> 'sandboxId')) where source ->> 'kind' = 'sandbox';

-- Null until the registry was asked what the name stands for.
alter table snapshots alter column image drop not null;
alter table snapshots
  -- As the user wrote it; null for what was built.
  add column image_name text,
  -- host/repository@digest.
  add column ref text,
  add column build_info jsonb,
  add column gpu_type text,
  -- User of its sandboxes; null: the image's own.
  add column os_user text,
  add column attempts integer not null default 0,
  add column retry_at timestamptz(3);
create index snapshots_unfinished on snapshots (updated_at) where state in ('pending', 'removing');

alter table organizations add column max_snapshot_size_gib integer not null default 20;

-- Null for what was built from a Dockerfile.
alter table sandboxes alter column snapshot drop not null;
alter table sandboxes
  add column build_info jsonb,
  -- Asked for by the request; otherwise the image decides. Rows of earlier releases keep the user they have.
  add column user_given boolean not null default true;
alter table sandboxes alter column user_given set default false;
create index sandboxes_image on sandboxes (image) where state <> 'destroyed';
create index sandboxes_waiting on sandboxes (state_changed_at) where state in ('pending_build', 'building_snapshot', 'pulling_snapshot');
`,
};
