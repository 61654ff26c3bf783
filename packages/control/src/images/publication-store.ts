import { plan } from '../db/index.ts';
import type { Image } from './image.ts';
import { PUBLICATION_MOVES, type PublicationPatch, type PublicationTrigger } from './publication.ts';
import { FIELDS } from './store.ts';

/** @returns nothing when the row is in no state the move starts from, or on its way out */
export function movePublication(name: string, trigger: PublicationTrigger, patch: PublicationPatch = {}) {
  const { from, to } = PUBLICATION_MOVES[trigger];
  return plan<Image>('image-move-publication', `
    update images i set publication = $3, updated_at = now(), published = $4, publish_attempts = $5, publish_problem = $6, publish_at = $7
    where i.name = $1 and i.publication = any($2) and i.state <> 'removing' returning ${FIELDS}`,
  [name, from, to, patch.published ?? null, patch.attempts ?? 0, patch.problem ?? null, patch.at ?? null]);
}

/** Kinds of PUBLISHABLE, as the index has them. */
export const unpublishedImages = plan<{ name: string }>('images-unpublished', `
  select name from images
  where state = 'ready' and publication in ('none', 'waiting') and source ->> 'kind' in ('build', 'sandbox') and (publish_at is null or publish_at <= now())`);

/** Those of the names that have no row. */
export const unknownNames = (names: readonly string[]) => plan<{ name: string }>('images-unknown-names', `
  select t.name from unnest($1::text[]) as t(name) where not exists (select 1 from images i where i.name = t.name)`, [names]);

/** Published, and only sleeping snapshots and archived sandboxes refer to it. */
const SLEEPING = `
  i.state = 'ready' and i.publication = 'published'
    and not exists (select 1 from snapshots s where s.image = i.name and s.state not in ('removing', 'inactive'))
    and not exists (select 1 from sandboxes b where b.image = i.name and b.state not in ('destroyed', 'archived'))
    and (exists (select 1 from snapshots s where s.image = i.name and s.state = 'inactive') or exists (select 1 from sandboxes b where b.image = i.name and b.state = 'archived'))`;

/** As `lockUnused`: waits for those who wake up at this moment. */
export const lockSleeping = plan<{ name: string }>('images-lock-sleeping', `select i.name from images i where ${SLEEPING} order by i.name for update`);

/** Frees the runner's copy. It is in the registry, and comes back when one of those who refer to it wakes up. */
export const offloadSleeping = (names: readonly string[]) => plan<Image>('images-offload-sleeping', `
  update images i set state = 'leaving', updated_at = now() where i.name = any($1) and ${SLEEPING} returning ${FIELDS}`, [names]);

/** Somebody wants it who knows that it is kept: on the runner or in the registry. */
export const reuseImage = (name: string) => plan<Image>('image-reuse', `
  update images i set last_used_at = now(), updated_at = now(),
    attempts = case when i.state = 'ready' then i.attempts else 0 end, retry_at = case when i.state = 'ready' then i.retry_at else null end,
    reason = case when i.state = 'failed' and i.publication = 'published' then null else i.reason end,
    state = case when i.state in ('leaving', 'away') or (i.state = 'failed' and i.publication = 'published') then 'pending' else i.state end
  where i.name = $1 and i.state <> 'removing' returning ${FIELDS}`, [name]);
