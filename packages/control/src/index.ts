/** The control plane: REST API, records, state machine, events. Started by main.ts; tests build it from these parts. */
export { ADMIN_USER_ID, bootstrap } from './bootstrap/index.ts';
export type { ControlContext } from './context.ts';
export { migrate, MIGRATIONS } from './db/index.ts';
export { DOMAINS, domainsWith } from './domains.ts';
export { API_VERSION, buildApp, type ApiServer, type Domain } from './http/index.ts';
export { createSandboxPlane, type SandboxPlane } from './sandbox-plane.ts';
export { createContext } from './services.ts';
