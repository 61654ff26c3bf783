/** The wire: everything two Paddock processes, or Paddock and a client, must agree on. */
export * from './api/index.ts';
export * from './archives.ts';
export * from './api/sandboxes.ts';
export * from './child.ts';
export * from './config.ts';
export * from './dockerfile/index.ts';
export * from './errors.ts';
export * from './images.ts';
export * from './layout.ts';
export * from './network-policy.ts';
export * from './object-access.ts';
export * from './runner-api.ts';
export * from './sandbox-states.ts';
export * from './toolbox-api.ts';
