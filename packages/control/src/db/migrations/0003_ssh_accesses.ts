import type { Migration } from '../migrate.ts';

export const sshAccesses: Migration = {
  name: '0003_ssh_accesses',
  sql: `
create table ssh_accesses (
  id uuid primary key,
  -- One for a sandbox: creating another revokes it.
  sandbox_id uuid not null unique references sandboxes (id) on delete cascade,
  -- SHA-256 of the token; its 190 bits need no salt.
  token_hash bytea not null unique,
  expires_at timestamptz(3) not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);
create index ssh_accesses_expiry on ssh_accesses (expires_at);
`,
};
