/** Schemas of the control plane's requests and replies, one file a domain. */
export * from './common.ts';
