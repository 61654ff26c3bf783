import { workDir } from '../environment/places.ts';
import { badBody } from '../errors.ts';
import type { Exchange } from '../http/exchange.ts';
import { untilGone } from '../http/gone.ts';
import { Git } from './git.ts';
import { open } from './repository.ts';

const SCOPES: ReadonlySet<string> = new Set(['global', 'local', 'system']);

export interface Scope {
  readonly git: Git;
  /** The option that chooses the configuration file. */
  readonly option: string;
}

/** Wire: global unless named; a path without a scope means that repository's own configuration. */
export async function scopeOf(exchange: Exchange, named: string | undefined, path: string | undefined): Promise<Scope> {
  const scope = named || (path ? 'local' : 'global');
  if (!SCOPES.has(scope)) throw badBody(`invalid scope: ${scope.slice(0, 50)}, one of ${[...SCOPES].join(', ')} is expected`);
  if (scope !== 'local') return { git: new Git(workDir, untilGone(exchange)), option: `--${scope}` };
  if (!path) throw badBody("field 'path' is required for the local scope");
  return { git: await open(exchange, path), option: '--local' };
}
