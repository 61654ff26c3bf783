import { allows, type RegistryAccess, type RegistryAction, type RegistryCredentials, type RegistryGrant } from './credentials.ts';
import { RegistryError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { isRepository } from './names.ts';

/** Names this registry in the token flow. */
const SERVICE = 'paddock';
/** More than any client asks for: one for the repository, one for each it mounts from. */
const MAX_SCOPES = 100;
const MAX_FORM_BYTES = 64 * 1024;

interface Parts {
  readonly credentials: RegistryCredentials;
  /** Origin under which the client reaches this server. */
  readonly originOf: (exchange: Exchange) => string;
}

/** Who asks and what they may do: `Basic` with a credential, or `Bearer` with a token that was fetched with one. */
export class Access {
  readonly #parts: Parts;
  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Throws UNAUTHORIZED with the challenge of Docker's token flow. */
  authenticate(exchange: Exchange, scope: string | null): RegistryAccess {
    const access = this.#presented(exchange);
    if (!access) throw this.#challenge(exchange, scope, false);
    return access;
  }

  /** A token may lack what its owner could have: that one is told to fetch another. */
  demand(exchange: Exchange, access: RegistryAccess, repository: string, action: RegistryAction): void {
    if (allows(access, repository, action)) return;
    if (schemeOf(exchange) === 'bearer') throw this.#challenge(exchange, scopeOf(repository, action), true);
    throw new RegistryError('DENIED', { detail: { repository, action } });
  }

  /** `GET /v2/token` with Basic credentials, or `POST` of an OAuth2 form. */
  async token(exchange: Exchange): Promise<void> {
    const { method } = exchange;
    if (method !== 'GET' && method !== 'POST') throw new RegistryError('UNSUPPORTED', { headers: { allow: 'GET, POST' } });
    const form = method === 'POST' ? new URLSearchParams((await exchange.wholeBody(MAX_FORM_BYTES, () => new RegistryError('SIZE_INVALID', { status: 413 }))).toString('utf8')) : null;
    const access = form ? this.#fromForm(form) : this.#basic(exchange);
    if (!access) throw new RegistryError('UNAUTHORIZED', { headers: { 'www-authenticate': `Basic realm="${SERVICE}"` } });
    const scopes = (form ?? exchange.query).getAll('scope').flatMap((text) => text.split(' ')).filter(Boolean).slice(0, MAX_SCOPES);
    const { token, expiresInSeconds } = this.#parts.credentials.token(access, scopes.flatMap((scope) => granted(access, scope)));
    // An OAuth2 client asks again with this in place of a password.
    const refresh = form && form.get('access_type') === 'offline' ? { refresh_token: form.get('refresh_token') ?? form.get('password') } : {};
    exchange.json(200, { token, access_token: token, expires_in: expiresInSeconds, issued_at: new Date().toISOString(), ...refresh }, { 'cache-control': 'no-store' });
  }

  #fromForm(form: URLSearchParams): RegistryAccess | null {
    const { credentials } = this.#parts;
    switch (form.get('grant_type')) {
      case 'password': return credentials.checkCredential(form.get('username') ?? '', form.get('password') ?? '');
      case 'refresh_token': return credentials.checkSecret(form.get('refresh_token') ?? '');
      default: throw new RegistryError('UNSUPPORTED', { status: 400, message: 'grant_type must be password or refresh_token' });
    }
  }

  #presented(exchange: Exchange): RegistryAccess | null {
    if (schemeOf(exchange) !== 'bearer') return this.#basic(exchange);
    return this.#parts.credentials.checkToken((exchange.header('authorization') ?? '').slice('bearer '.length).trim());
  }

  #basic(exchange: Exchange): RegistryAccess | null {
    const match = /^basic +(\S+) *$/i.exec(exchange.header('authorization') ?? '');
    const text = Buffer.from(match?.[1] ?? '', 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return colon < 0 ? null : this.#parts.credentials.checkCredential(text.slice(0, colon), text.slice(colon + 1));
  }

  #challenge(exchange: Exchange, scope: string | null, insufficient: boolean): RegistryError {
    const parts = [`realm="${this.#parts.originOf(exchange)}/v2/token"`, `service="${SERVICE}"`];
    if (scope !== null) parts.push(`scope="${scope}"`);
    if (insufficient) parts.push('error="insufficient_scope"');
    return new RegistryError('UNAUTHORIZED', { headers: { 'www-authenticate': `Bearer ${parts.join(',')}` } });
  }
}

export function scopeOf(repository: string, action: RegistryAction): string {
  return `repository:${repository}:${action === 'push' ? 'pull,push' : action}`;
}

function schemeOf(exchange: Exchange): string {
  return (exchange.header('authorization') ?? '').split(' ')[0]!.toLowerCase();
}

/** What somebody with this access may get of a scope: `repository:<name>:<action>,…` or `registry:catalog:*`. */
function granted(access: RegistryAccess, scope: string): RegistryGrant[] {
  if (scope === 'registry:catalog:*') {
    return access.grants.filter(({ actions }) => actions.includes('catalog')).map(({ repositories }) => ({ repositories, actions: ['catalog'] }));
  }
  const [type, name = '', wanted = ''] = scope.split(':');
  if (type !== 'repository' || !isRepository(name)) return [];
  const asked = wanted.split(',');
  const actions = (['pull', 'push', 'delete'] as const).filter((action) => (asked.includes(action) || asked.includes('*')) && allows(access, name, action));
  return actions.length > 0 ? [{ repositories: name, actions }] : [];
}
