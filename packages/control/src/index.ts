/** The control plane: REST API, records, state machine, events. Started by main.ts; tests build it from these parts. */
export { bootstrap } from './bootstrap/index.ts';
export type { ControlContext } from './context.ts';
export { migrate, MIGRATIONS } from './db/index.ts';
export { buildApp } from './http/index.ts';
export { createContext } from './services.ts';
