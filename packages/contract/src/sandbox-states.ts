/** Sandbox states and desired states on the wire (control-plane spec `SandboxState`, `SandboxDesiredState`). */
export const SANDBOX_STATES = [
  'creating', 'restoring', 'destroyed', 'destroying', 'started', 'stopped', 'starting', 'stopping', 'error',
  'build_failed', 'pending_build', 'building_snapshot', 'unknown', 'pulling_snapshot', 'archived', 'archiving',
  'resizing', 'snapshotting', 'forking', 'pausing', 'paused', 'resuming',
] as const;
export type SandboxState = (typeof SANDBOX_STATES)[number];

export const DESIRED_STATES = ['destroyed', 'started', 'stopped', 'resized', 'archived', 'paused'] as const;
export type DesiredState = (typeof DESIRED_STATES)[number];
