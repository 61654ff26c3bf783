import { createHmac, timingSafeEqual } from 'node:crypto';

export type ObjectAction = 'read' | 'write' | 'list' | 'delete';

/** What a pair of keys opens. */
export interface ObjectScope {
  /** Keys begin with it; empty (everything) or ends with `/`. */
  readonly prefix: string;
  readonly actions: readonly ObjectAction[];
  /** Seconds from now; null: for ever. Those are for parts of this installation only: nothing revokes them but a new secret. */
  readonly expiresInSeconds: number | null;
}

export interface S3Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string | null;
}

/** A scope as the server reads it out of credentials. */
export interface Grant {
  readonly prefix: string;
  readonly actions: ReadonlySet<ObjectAction>;
  readonly expiresAt: Date | null;
  readonly secretKey: string;
}

export type Lookup = { readonly ok: true; readonly grant: Grant } | { readonly ok: false; readonly code: 'InvalidAccessKeyId' | 'InvalidToken' };

/** `p`refix, first letters of the `a`ctions, `e`xpiry in seconds since 1970 (0: never). */
interface Payload {
  readonly p: string;
  readonly a: string;
  readonly e: number;
}

const LETTERS: Readonly<Record<ObjectAction, string>> = { read: 'r', write: 'w', list: 'l', delete: 'd' };
const MAX_TOKEN = 4096;

/**
 * Makes and reads credentials without keeping any: the scope itself travels with each request, signed by this installation, and both keys are
 * derived from it. It travels as the session token, or in the access key for clients that know no token.
 */
export class CredentialIssuer {
  readonly #secret: Buffer;

  /** @param secret 32 random bytes */
  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** @param form `session`: short access key and a session token, as from STS. `keys`: a long access key and no token. */
  issue({ prefix, actions, expiresInSeconds }: ObjectScope, form: 'session' | 'keys', now = Date.now()): S3Credentials {
    if (prefix !== '' && !prefix.endsWith('/')) throw new Error('The prefix of an object scope ends with a slash');
    const e = expiresInSeconds === null ? 0 : Math.floor(now / 1000) + expiresInSeconds;
    const payload: Payload = { p: prefix, a: actions.map((action) => LETTERS[action]).join(''), e };
    const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
    const token = `${text}.${this.#derive('token', text)}`;
    const secretKey = this.#derive('secret', token);
    return form === 'session' ? { accessKey: this.#shortKey(token), secretKey, sessionToken: token } : { accessKey: token, secretKey, sessionToken: null };
  }

  /** Does not look at the expiry: the signature is checked first. */
  lookUp(accessKey: string, sessionToken: string | null): Lookup {
    const token = sessionToken ?? accessKey;
    const dot = token.indexOf('.');
    const [text, mac] = [token.slice(0, dot), token.slice(dot + 1)];
    const genuine = token.length <= MAX_TOKEN && dot > 0 && equal(mac, this.#derive('token', text));
    if (!genuine) return { ok: false, code: sessionToken === null ? 'InvalidAccessKeyId' : 'InvalidToken' };
    if (sessionToken !== null && !equal(accessKey, this.#shortKey(token))) return { ok: false, code: 'InvalidAccessKeyId' };
    const { p, a, e } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Payload;
    const actions = (Object.keys(LETTERS) as ObjectAction[]).filter((action) => a.includes(LETTERS[action]));
    return { ok: true, grant: { prefix: p, actions: new Set(actions), expiresAt: e === 0 ? null : new Date(e * 1000), secretKey: this.#derive('secret', token) } };
  }

  /** Twenty upper-case letters and digits, as clients know them. */
  #shortKey(token: string): string {
    return `PDK${createHmac('sha256', this.#secret).update(`access\0${token}`).digest('hex').slice(0, 17).toUpperCase()}`;
  }

  #derive(purpose: string, text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose}\0${text}`).digest('base64url');
  }
}

/** In a time that does not tell how much of it was right. */
export function equal(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
