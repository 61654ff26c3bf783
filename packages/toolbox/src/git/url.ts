import { badBody } from '../errors.ts';
import { checked, type Login } from './credentials.ts';

export interface RemoteUrl {
  /** Without user name and password when it is an http(s) URL. */
  readonly url: string;
  /** What stood before the `@`. A lone user name is a token, as hosts accept it. */
  readonly login: Login | null;
}

/** Splits what a client gives as the address of a repository. Wire: one without a scheme is an https URL. */
export function remoteUrl(given: string): RemoteUrl {
  const url = withScheme(given);
  const parts = /^(https?:\/\/)([^/?#]*)@(.*)$/is.exec(url);
  if (!parts) return { url, login: null };
  const [, scheme, userinfo, rest] = parts as unknown as [string, string, string, string];
  const colon = userinfo.indexOf(':');
  const username = decoded(colon < 0 ? userinfo : userinfo.slice(0, colon));
  const password = colon < 0 ? '' : decoded(userinfo.slice(colon + 1));
  return { url: scheme + rest, login: username === '' && password === '' ? null : checked({ username, password }) };
}

/** Paths begin with `/`, `.` or `~`; `host:path` is ssh unless a port follows the colon. */
export function withScheme(given: string): string {
  if (given.startsWith('-') || /[\x00-\x1f\x7f]/.test(given)) throw badBody(`invalid url: ${given.slice(0, 200)}`);
  if (/^[a-z][a-z0-9+.-]*::?\/\//i.test(given) || given.includes('::')) return given;
  if (/^[./~]/.test(given)) return given;
  if (/^[^/]+:(?!\d+(\/|$))/.test(given)) return given;
  return `https://${given}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
