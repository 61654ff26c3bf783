export { createSshGateway } from './gateway.ts';
export type * from './types.ts';
