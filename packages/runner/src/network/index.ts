export { createNetwork } from './network.ts';
export type { NetworkOptions } from './network.ts';
export type { NetworkLog } from './log.ts';
