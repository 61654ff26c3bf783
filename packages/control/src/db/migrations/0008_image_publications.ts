import type { Migration } from '../migrate.ts';

export const imagePublications: Migration = {
  name: '0008_image_publications',
  sql: `
-- What was made here and lies in no registry yet is put into this server's own. States change by the moves of images/publication.ts.
alter table images
  add column publication text not null default 'none' check (publication in ('none', 'waiting', 'published', 'refused')),
  -- \`repository@digest\` in this server's registry.
  add column published text,
  -- Attempts in a row that failed, why the last one did, and when the next is due.
  add column publish_attempts integer not null default 0,
  add column publish_problem text,
  add column publish_at timestamptz(3),
  add constraint images_published check ((publication = 'published') = (published is not null));

-- \`away\`: in the registry only, for those who may want it again; \`leaving\`: on its way there.
alter table images drop constraint images_state_check;
alter table images add constraint images_state_check check (state in ('pending', 'preparing', 'ready', 'failed', 'leaving', 'away', 'removing'));
create index images_unpublished on images (publish_at) where state = 'ready' and publication in ('none', 'waiting') and source ->> 'kind' in ('build', 'sandbox');
`,
};
