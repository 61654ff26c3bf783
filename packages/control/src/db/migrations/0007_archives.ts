import type { Migration } from '../migrate.ts';

export const archives: Migration = {
  name: '0007_archives',
  sql: `
-- One row a prefix \`archives/<id>/\` of the object store. Written by the move that makes a sandbox refer to it; one that no
-- sandbox refers to any more is emptied and goes.
create table archives (
  id uuid primary key,
  sandbox_id uuid not null,
  created_at timestamptz(3) not null default now(),
  -- For the first time; again for a while, for what a cut-off runner was still sending.
  emptied_at timestamptz(3)
);

alter table sandboxes
  -- The prefix that its disk is moved to or is in.
  add column archive_id uuid,
  -- ArchiveSummary: its disk is in the object store and nowhere else.
  add column archive jsonb,
  add column backup_state text not null default 'None' check (backup_state in ('None', 'Pending', 'InProgress', 'Completed', 'Error')),
  add column backup_created_at timestamptz(3),
  -- Cpu, memory and disk that it is being given.
  add column resize_to jsonb,
  -- What recovering from a full disk has added to it, in percent of its size.
  add column disk_grown_percent integer not null default 0;
create index sandboxes_archive on sandboxes (archive_id) where archive_id is not null and state <> 'destroyed';
create index sandboxes_auto_archive on sandboxes (last_activity_at) where state = 'stopped';
`,
};
