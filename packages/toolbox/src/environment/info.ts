import { type Exchange, sendJson } from '../http/exchange.ts';
import { homeDir, workDir } from './places.ts';

declare const PADDOCK_VERSION: string;

/** Version of the toolbox, set by the bundler. */
export const version: string = typeof PADDOCK_VERSION === 'string' ? PADDOCK_VERSION : '0.0.0-dev';

export const handleVersion = (exchange: Exchange): void => sendJson(exchange, 200, { version });
export const handleWorkDir = (exchange: Exchange): void => sendJson(exchange, 200, { dir: workDir });
/** Also answers the legacy `/project-dir`, which has always meant the home. */
export const handleHomeDir = (exchange: Exchange): void => sendJson(exchange, 200, { dir: homeDir });
