import type { Migration } from '../migrate.ts';

export const dockerRegistries: Migration = {
  name: '0005_docker_registries',
  sql: `
create table docker_registries (
  id uuid primary key,
  organization_id uuid not null references organizations (id) on delete cascade,
  name text not null,
  url text not null,
  -- host[:port] of the url in lower case, docker.io for all names of Docker Hub: what image references are compared with.
  host text not null,
  username text not null,
  -- AES-256-GCM: nonce (12 bytes), tag (16), ciphertext. Bound to the row's id.
  password bytea not null,
  project text not null,
  registry_type text not null default 'organization' check (registry_type in ('internal', 'organization', 'transient', 'backup')),
  -- Goes before others of the same host.
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index docker_registries_organization on docker_registries (organization_id, host);
`,
};
