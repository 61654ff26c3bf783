import type { OrganizationRules, ResourceAmounts } from './organizations.ts';

/** wire: every refusal for a limit is 400 and ends with what to do about it, on a line of its own. */
export const LIMIT_HELP = '\nTo have the limit raised, ask the administrator of this server.';

/** wire: per-sandbox limits hold for what a snapshot asks for too. @returns the sentence, null when it is within them */
export function overPerSandboxLimit(asked: ResourceAmounts, { maxPerSandbox: max }: Pick<OrganizationRules, 'maxPerSandbox'>): string | null {
  const amounts: ReadonlyArray<readonly [what: string, asked: number, allowed: number, unit: string]> = [
    ['CPU', asked.cpu, max.cpu, ''], ['Memory', asked.memoryGiB, max.memoryGiB, 'GB'], ['Disk', asked.diskGiB, max.diskGiB, 'GB'],
  ];
  const over = amounts.find(([, wanted, allowed]) => wanted > allowed);
  if (!over) return null;
  const [what, wanted, allowed, unit] = over;
  return `${what} request ${wanted}${unit} exceeds maximum allowed per sandbox (${allowed}${unit}).${LIMIT_HELP}`;
}
