export { createSshGateway } from './gateway.ts';
export { publicKeyLine } from './host-key.ts';
export type * from './types.ts';
