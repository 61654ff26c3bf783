import { randomBytes } from 'node:crypto';

/** Lower case and digits only: preview tokens travel in host names. */
const LOWER_CASE = 'abcdefghijklmnopqrstuvwxyz0123456789';
const LETTERS = `${LOWER_CASE}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;

function randomToken(length: number, alphabet: string): string {
  // Bytes above the largest multiple of the alphabet's size would favour its first letters.
  const fair = 256 - (256 % alphabet.length);
  let token = '';
  while (token.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < fair && token.length < length) token += alphabet[byte % alphabet.length];
    }
  }
  return token;
}

/** wire: 32 characters without `_` and `-`, 190 bits. It is the user name of SSH. */
export function newSshToken(): string {
  return randomToken(32, LETTERS);
}

/** wire: 32 characters, 165 bits. */
export function newAuthToken(): string {
  return randomToken(32, LOWER_CASE);
}

/** wire: 16 characters, 82 bits, alive for a day at most. */
export function newSignedPreviewToken(): string {
  return randomToken(16, LOWER_CASE);
}

/**
 * Key of signed file URLs. Clients take the reply's text as it is, but some parse it as JSON first: the prefix makes that
 * impossible whatever the random part is.
 */
export function newSigningKey(): string {
  return `sk_${randomBytes(32).toString('base64url')}`;
}
