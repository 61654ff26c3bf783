import type { PaddockConfig } from '@paddock/contract';

export type Finding =
  | { readonly status: 'ok'; readonly detail: string }
  /** warn: a part is lost; fail: Paddock does not work. `costs` and `fix` are for the operator. */
  | { readonly status: 'warn' | 'fail'; readonly detail: string; readonly costs: string; readonly fix: string };

/** One thing that Paddock needs of the machine. */
export interface Check {
  readonly name: string;
  /** `paddock up` makes it before it starts anything: takes no time and no process. */
  readonly atStart: boolean;
  readonly run: (config: PaddockConfig) => Finding | Promise<Finding>;
}

export const ok = (detail: string): Finding => ({ status: 'ok', detail });
export const warn = (detail: string, costs: string, fix: string): Finding => ({ status: 'warn', detail, costs, fix });
export const fail = (detail: string, costs: string, fix: string): Finding => ({ status: 'fail', detail, costs, fix });
