import type { PaddockConfig } from '@paddock/contract';
import { styleText } from 'node:util';
import type { Check, Finding } from './check.ts';
import { KERNEL_CHECKS } from './kernel-checks.ts';
import { MACHINE_CHECKS } from './machine-checks.ts';

export type { Check, Finding } from './check.ts';

export const CHECKS: readonly Check[] = [...KERNEL_CHECKS, ...MACHINE_CHECKS];

export interface Report {
  /** No check failed; warnings may be among them. */
  readonly works: boolean;
  readonly findings: ReadonlyArray<Finding & { readonly name: string }>;
}

/** @param only `start`: the checks that `paddock up` makes */
export async function examine(config: PaddockConfig, only: 'start' | 'all' = 'all', checks: readonly Check[] = CHECKS): Promise<Report> {
  const chosen = checks.filter((check) => only === 'all' || check.atStart);
  const findings = await Promise.all(chosen.map(async (check) => ({ name: check.name, ...(await check.run(config)) })));
  return { works: findings.every((finding) => finding.status !== 'fail'), findings };
}

const MARKS = { ok: styleText('green', 'ok  '), warn: styleText('yellow', 'warn'), fail: styleText('red', 'FAIL') } as const;

/** One line a finding; what a missing one costs and the command that mends it below. */
export function describeReport(report: Report): string {
  const width = Math.max(...report.findings.map((finding) => finding.name.length));
  return report.findings
    .map((finding) => {
      const line = `${MARKS[finding.status]}  ${finding.name.padEnd(width)}  ${finding.detail}`;
      return finding.status === 'ok' ? line : `${line}\n      costs: ${finding.costs}\n      fix:   ${finding.fix}`;
    })
    .join('\n');
}
