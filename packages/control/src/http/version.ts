/** Version of this server. */
export const PADDOCK_VERSION = '0.1.0';

/**
 * wire: the value of X-Daytona-Api-Version. The CLI tells its user to upgrade the *client* when its own version is lower,
 * and official clients of this protocol are at 0.216 to 0.220, so this is the newest protocol the server was built against.
 */
export const API_VERSION = '0.220.0';
