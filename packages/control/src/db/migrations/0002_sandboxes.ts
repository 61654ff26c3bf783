import type { Migration } from '../migrate.ts';

export const sandboxes: Migration = {
  name: '0002_sandboxes',
  sql: `
-- One row a sandbox. state and desired_state only change by the moves of sandboxes/states.ts; revision counts them, so
-- that a move decided on an older row writes nothing.
create table sandboxes (
  id uuid primary key,
  -- 00000000-0000-0000-0000-000000000000 while the sandbox waits in a warm pool.
  organization_id uuid not null,
  name text not null,
  region_id text not null,
  snapshot text not null,
  image text not null,
  entrypoint jsonb,
  os_user text not null,
  env jsonb not null default '{}',
  labels jsonb not null default '{}',
  public boolean not null default false,
  cpu integer not null,
  memory integer not null,
  disk integer not null,
  gpu integer not null default 0,
  state text not null,
  desired_state text not null,
  revision integer not null default 0,
  error_reason text,
  recoverable boolean not null default false,
  -- How the pending stop is meant: SIGKILL at once.
  force_stop boolean not null default false,
  auto_stop_interval integer not null,
  auto_archive_interval integer not null,
  auto_delete_interval integer not null,
  auto_destroy_at timestamptz(3),
  network_block_all boolean not null default false,
  network_allow_list text,
  runner_id text,
  daemon_version text,
  -- Preview token. In clear, because GET …/preview-url must show it; it opens one sandbox and changes at each start.
  auth_token text not null,
  signing_key text,
  -- What a claim must match; null outside the pool.
  warm_key text,
  -- Milliseconds, like the dates of the API: a list cursor holds one and must find its row again.
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  state_changed_at timestamptz(3) not null default now(),
  last_activity_at timestamptz(3) not null default now()
);

create unique index sandboxes_name on sandboxes (organization_id, name);
create index sandboxes_by_activity on sandboxes (organization_id, last_activity_at desc, id desc) where state <> 'destroyed';
create index sandboxes_by_creation on sandboxes (organization_id, created_at desc, id desc) where state <> 'destroyed';
create index sandboxes_labels on sandboxes using gin (labels jsonb_path_ops);
create index sandboxes_warm on sandboxes (warm_key, created_at) where warm_key is not null;
create index sandboxes_pending on sandboxes (state_changed_at) where state in ('creating', 'starting', 'stopping', 'destroying');
create index sandboxes_destroyed on sandboxes (state_changed_at) where state = 'destroyed';

create table signed_preview_tokens (
  token text primary key,
  sandbox_id uuid not null references sandboxes (id) on delete cascade,
  port integer not null,
  expires_at timestamptz(3) not null
);
create index signed_preview_tokens_sandbox on signed_preview_tokens (sandbox_id);
create index signed_preview_tokens_expiry on signed_preview_tokens (expires_at);

-- Written in the transaction of the change it tells of and published after the commit.
create table outbox (
  id bigint generated always as identity primary key,
  organization_id uuid not null,
  event text not null,
  subject_id uuid not null,
  detail jsonb not null default '{}',
  -- Process that wrote it and publishes it first.
  origin uuid not null,
  created_at timestamptz not null default now(),
  published_at timestamptz
);
create index outbox_unpublished on outbox (id) where published_at is null;
create index outbox_created on outbox (created_at);
`,
};
