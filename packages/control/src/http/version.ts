/** Version of this server. */
export const PADDOCK_VERSION = '0.1.0';

/**
 * wire: the value of X-Daytona-Api-Version. The CLI tells its user to upgrade the CLI when its own version is lower. Paddock
 * serves clients from 0.190 on, so that is the version it asks for: no client that works is nagged.
 */
export const API_VERSION = '0.190.0';
