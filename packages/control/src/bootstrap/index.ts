/** What exists from the first start on. */
export { ADMIN_USER_ID, bootstrap, DEFAULT_SNAPSHOTS } from './bootstrap.ts';
