import { randomBytes } from 'node:crypto';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Lower case and digits only: preview tokens travel in host names. */
function lowerCaseToken(length: number): string {
  let token = '';
  while (token.length < length) {
    // 252 is the largest multiple of 36 below 256: bytes above it would favour the first letters.
    for (const byte of randomBytes(length * 2)) {
      if (byte < 252 && token.length < length) token += ALPHABET[byte % 36];
    }
  }
  return token;
}

/** wire: 32 characters, 165 bits. */
export function newAuthToken(): string {
  return lowerCaseToken(32);
}

/** wire: 16 characters, 82 bits, alive for a day at most. */
export function newSignedPreviewToken(): string {
  return lowerCaseToken(16);
}

/**
 * Key of signed file URLs. Clients take the reply's text as it is, but some parse it as JSON first: the prefix makes that
 * impossible whatever the random part is.
 */
export function newSigningKey(): string {
  return `sk_${randomBytes(32).toString('base64url')}`;
}
