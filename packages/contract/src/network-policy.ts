/** What a sandbox may reach. `blockAll` wins over the list. */
export interface NetworkPolicy {
  readonly blockAll: boolean;
  /** IPv4 CIDRs; null means everything (that is not Paddock's own or the host's) is allowed. */
  readonly allowList: readonly string[] | null;
}

export const OPEN_NETWORK: NetworkPolicy = { blockAll: false, allowList: null };
