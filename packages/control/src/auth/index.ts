/** Who is calling and what they may do. */
export { Authenticator, hashKey } from './authenticator.ts';
export { addAuthentication, bearer, principalOf } from './plugin.ts';
export type { Access, HealthPrincipal, Principal, UserPrincipal } from './principal.ts';
export { announceChange } from './store.ts';
