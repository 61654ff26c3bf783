import type { RunnerInfo } from '@paddock/contract';
import { plan, type Queryable } from '../db/index.ts';
import type { UsageSource } from '../organizations/index.ts';

/**
 * wire: sandboxes without processes (stopped, being archived, resized or snapshotted while stopped) hold their disk only; archived, failed and
 * destroyed ones hold nothing.
 */
const used = (organizationId: string) => plan<{ regionId: string; cpu: number; memory: number; disk: number }>('sandbox-usage', `
  select region_id as "regionId", coalesce(sum(cpu) filter (where computes), 0) as cpu, coalesce(sum(memory) filter (where computes), 0) as memory,
    coalesce(sum(disk), 0) as disk
  from (
    select *, not (state in ('stopped', 'archiving') or (state in ('resizing', 'snapshotting') and desired_state = 'stopped')) as computes
    from sandboxes where organization_id = $1 and state not in ('destroyed', 'destroying', 'error', 'build_failed', 'archived')
  ) s group by region_id`, [organizationId]);

/** What the sandboxes of an organization use, against what the runner has. */
export function usageSource(db: Queryable, runnerInfo: () => Promise<RunnerInfo | null>): UsageSource {
  return async (organizationId) => {
    const [rows, info] = await Promise.all([db.query(used(organizationId)), runnerInfo()]);
    const capacity = { cpu: info?.cpus ?? 0, memoryGiB: info?.memoryGiB ?? 0, diskGiB: info?.diskGiB ?? 0 };
    return rows.map(({ regionId, cpu, memory, disk }) => ({ regionId, used: { cpu, memoryGiB: memory, diskGiB: disk }, capacity }));
  };
}
