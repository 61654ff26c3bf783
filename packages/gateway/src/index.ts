/** Everything that travels to a sandbox: toolbox path, preview hosts, signed file URLs. */
export { createGateway } from './gateway.ts';
export { GATEWAY_SERVER_OPTIONS } from './server-options.ts';
export { createSshGateway, publicKeyLine, type SshAccess, type SshBackend, type SshEvent, type SshGateway } from './ssh/index.ts';
export type * from './types.ts';
