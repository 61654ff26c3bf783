import { badBody } from '../errors.ts';
import { type Body, optionalText } from '../http/fields.ts';

/**
 * User name and password of one clone, push or pull. git gets them from a credential helper that reads an inherited descriptor of
 * a nameless file in memory: they are in no argument list, no environment and no file with a name, and gone with the process.
 */
export interface Credentials {
  /** `scheme://host[:port]` that may have them. A redirect to another host is not given them. */
  readonly origin: string;
  /** What the helper prints. */
  readonly answer: string;
  /** Texts that must not appear in a message. */
  readonly secrets: readonly string[];
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** The child's descriptor that holds the answer. Shells name descriptors by one digit. */
export const CREDENTIAL_FD = 3;

/** Opened anew by its path, so that a helper asked twice answers twice. `store` and `erase` find nobody. */
const HELPER = `!f() { test "$1" = get && cat </proc/self/fd/${CREDENTIAL_FD}; }; f`;

/** Wire: credentials count only when both fields are given. */
export function loginOf(body: Body): Login | null {
  const username = optionalText(body, 'username');
  const password = optionalText(body, 'password');
  if (!username || !password) return null;
  return checked({ username, password });
}

/** The credential protocol is made of lines: a line break in a value would be another key. */
export function checked(login: Login): Login {
  for (const value of Object.values(login) as string[]) {
    if (/[\r\n\0]/.test(value)) throw badBody('username and password must not contain line breaks');
  }
  return login;
}

/** @returns null for a remote that takes no user name and password: a path, ssh */
export function credentialsFor(url: string, login: Login | null): Credentials | null {
  if (login === null || !/^https?:\/\//i.test(url)) return null;
  const { username, password } = login;
  // A token alone stands in the user name.
  const hidden = [password || username];
  return {
    origin: originOf(url),
    answer: `username=${username}\npassword=${password}\n`,
    secrets: [...hidden, ...hidden.map((secret) => encodeURIComponent(secret.toWellFormed())), Buffer.from(`${username}:${password}`).toString('base64')],
  };
}

/**
 * Settings of a run with credentials. The first drops every helper the sandbox has configured: theirs must neither answer nor store. A
 * collection in the background, which would hold the descriptor for as long as it runs, is left to a later command.
 */
export function credentialConfig(credentials: Credentials): readonly string[] {
  return ['credential.helper=', `credential.${credentials.origin}.helper=${HELPER}`, 'gc.auto=0', 'maintenance.auto=false'];
}

/** A text for people: without the secrets and without what stands before the `@` of any URL. */
export function redacted(text: string, credentials: Credentials | null): string {
  let clean = text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@']+@/gi, '$1');
  for (const secret of credentials?.secrets ?? []) clean = clean.replaceAll(secret, '***');
  return clean;
}

const originOf = (url: string): string => /^https?:\/\/[^/?#]*/i.exec(url)![0].replace(/\/\/.*@/, '//');
