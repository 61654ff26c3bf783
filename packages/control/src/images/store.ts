import type { RunnerImageConfig } from '@paddock/contract';
import { plan, type Plan } from '../db/index.ts';
import type { Image, StoredSource } from './image.ts';
import { IMAGE_MOVES, UNSETTLED, type ImageTrigger } from './states.ts';

export const FIELDS = `i.name, i.source, i.organization_id as "organizationId", i.state, i.reason, i.size_bytes as "sizeBytes", i.config, i.attempts, i.retry_at as "retryAt",
  i.publication, i.published, i.publish_attempts as "publishAttempts", i.publish_problem as "publishProblem", i.publish_at as "publishAt"`;

/** Columns that a move may set. Absent ones keep their value. */
export interface ImagePatch {
  readonly reason?: string | null;
  readonly sizeBytes?: number | null;
  readonly config?: RunnerImageConfig | null;
  readonly attempts?: number;
  readonly retryAt?: Date | null;
  /** Nobody else may share it any more. */
  readonly forgetHash?: boolean;
}

export const imageByName = (name: string) => plan<Image>('image-by-name', `select ${FIELDS} from images i where name = $1`, [name]);

export const allImages = plan<Image>('images-all', `select ${FIELDS} from images i`);

export const unsettledImages = plan<{ name: string }>('images-unsettled', `select name from images where state = any($1)`, [UNSETTLED]);

/** @returns nothing when the row is in no state the move starts from */
export function moveImage(name: string, trigger: ImageTrigger, patch: ImagePatch = {}): Plan<Image> {
  const { from, to } = IMAGE_MOVES[trigger];
  const has = (key: keyof ImagePatch) => patch[key] !== undefined;
  return plan<Image>('image-move', `
    update images i set state = $3, updated_at = now(),
      reason = case when $4 then $5 else i.reason end,
      size_bytes = case when $6 then $7::bigint else i.size_bytes end,
      config = case when $8 then $9::jsonb else i.config end,
      attempts = coalesce($10, i.attempts),
      retry_at = case when $11 then $12::timestamptz else i.retry_at end,
      build_hash = case when $13 then null else i.build_hash end
    where i.name = $1 and i.state = any($2) returning ${FIELDS}`,
  [name, from, to, has('reason'), patch.reason ?? null, has('sizeBytes'), patch.sizeBytes ?? null, has('config'), patch.config ? JSON.stringify(patch.config) : null,
    patch.attempts ?? null, has('retryAt'), patch.retryAt ?? null, patch.forgetHash === true]);
}

/**
 * The row of an image that somebody wants, made when there is none. One that failed or is being removed begins anew, from the
 * place that was asked last: its access was checked just now.
 */
export const wantImage = (name: string, source: StoredSource, organizationId: string | null) => plan<Image>('image-want', `
  insert into images as i (name, source, organization_id, state) values ($1, $2, $3, 'pending')
  on conflict (name) do update set last_used_at = now(), updated_at = now(),
    state = case when i.state in ('failed', 'removing') then 'pending' else i.state end,
    source = case when i.state = 'ready' then i.source else excluded.source end,
    organization_id = case when i.state = 'ready' then i.organization_id else excluded.organization_id end,
    reason = case when i.state in ('failed', 'removing') then null else i.reason end,
    attempts = case when i.state in ('failed', 'removing') then 0 else i.attempts end,
    retry_at = case when i.state in ('failed', 'removing') then null else i.retry_at end
  returning ${FIELDS}`, [name, JSON.stringify(source), organizationId]);

/** A recipe that a snapshot names. */
export const wantRecipes = plan<Image>('images-want-recipes', `
  insert into images as i (name, source, state)
  select distinct s.image, '{"kind":"recipe"}'::jsonb, 'pending' from snapshots s
  where s.image is not null and s.image !~ '^(sha256|build|sandbox)-'
  on conflict (name) do nothing returning ${FIELDS}`);

export const knowRecipe = (name: string) => plan('image-know-recipe', `
  insert into images (name, source, state) values ($1, '{"kind":"recipe"}', 'pending') on conflict (name) do nothing`, [name]);

/** Locked, so that whoever decides on it decides alone. @param hours how long a finished build is shared */
export const sharedBuild = (organizationId: string, hash: string, hours: number) => plan<Image & { expired: boolean }>('image-shared-build', `
  select ${FIELDS}, i.created_at < now() - $3 * interval '1 hour' as expired from images i
  where i.organization_id = $1 and i.build_hash = $2 and i.state in ('pending', 'preparing', 'ready', 'leaving', 'away') for update`, [organizationId, hash, hours]);

export const forgetHash = (organizationId: string, hash: string) => plan('image-forget-hash', `
  update images set build_hash = null where organization_id = $1 and build_hash = $2`, [organizationId, hash]);

/** @returns nothing when an identical build was begun at the same moment */
export const insertBuild = (name: string, source: StoredSource, organizationId: string, hash: string) => plan<Image>('image-insert-build', `
  insert into images as i (name, source, organization_id, state, build_hash) values ($1, $2, $3, 'pending', $4)
  on conflict do nothing returning ${FIELDS}`, [name, JSON.stringify(source), organizationId, hash]);

/**
 * What nothing refers to: no snapshot (an inactive one is made again from its source, except where the source was a
 * sandbox or it is published; one that is too large for its organization never is), no sandbox. A build stays a moment for the sandbox whose
 * row is about to be written, and a finished one as long as an identical one may come, unless it is too large for snapshots.
 * $1: seconds, $2: hours
 */
const UNUSED = `
  i.state <> 'removing' and i.source ->> 'kind' <> 'recipe'
    and not exists (
      select 1 from snapshots s
      where s.image = i.name and s.state <> 'removing' and (s.state <> 'inactive' or i.source ->> 'kind' = 'sandbox' or i.publication = 'published')
        and not (s.state = 'error' and i.state = 'ready'))
    and not exists (select 1 from sandboxes b where b.image = i.name and b.state <> 'destroyed')
    and (i.source ->> 'kind' <> 'build' or i.last_used_at < now() - case
      when i.state = 'ready' and not exists (select 1 from organizations o where o.id = i.organization_id and i.size_bytes > o.max_snapshot_size_gib * 1073741824::bigint)
      then $2 * interval '1 hour' else $1 * interval '1 second' end)`;

/** First half of dropping them. Whoever wants an image holds its row until what refers to it is committed: this waits for them. */
export const lockUnused = (graceSeconds: number, shareHours: number) => plan<{ name: string }>('images-lock-unused', `
  select i.name from images i where ${UNUSED} order by i.name for update`, [graceSeconds, shareHours]);

/** Second half, in the same transaction: a statement of its own sees what was committed while the first one waited. */
export const dropUnused = (names: readonly string[], graceSeconds: number, shareHours: number) => plan<Image>('images-drop-unused', `
  update images i set state = 'removing', build_hash = null, updated_at = now()
  where i.name = any($3) and ${UNUSED}
  returning ${FIELDS}`, [graceSeconds, shareHours, names]);

export const deleteRemoved = (name: string) => plan('image-delete', `delete from images where name = $1 and state = 'removing'`, [name]);

export const pendingOfSandbox = (sandboxId: string) => plan<Image>('image-pending-of-sandbox', `
  select ${FIELDS} from images i
  where i.source ->> 'kind' = 'sandbox' and i.source ->> 'sandboxId' = $1 and i.state in ('pending', 'preparing') limit 1`, [sandboxId]);
