/** Sandboxes: their life, their records, what requests can do to them. */
export { Activity } from './activity.ts';
export { Changes } from './changes.ts';
export { ClockStore } from './clock-store.ts';
export { Clocks } from './clocks.ts';
export { SANDBOX } from './columns.ts';
export { toDto, toListItem } from './dto.ts';
export { createGatewayBackend } from './gateway-backend.ts';
export { Lifecycle, type WarmSource } from './lifecycle.ts';
export { ListStore } from './list-store.ts';
export { PreviewStore } from './preview-store.ts';
export { Previews } from './previews.ts';
export { Properties } from './properties.ts';
export { Reconciler } from './reconciler.ts';
export { sandboxRoutes } from './routes/index.ts';
export { isWarm, NO_ORGANIZATION, releasedName, type NewSandbox, type Sandbox } from './sandbox.ts';
export { isSettled } from './states.ts';
export { SandboxStore, type Change } from './store.ts';
export { usageSource } from './usage.ts';
