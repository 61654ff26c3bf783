import { createHmac, timingSafeEqual } from 'node:crypto';

/** Long enough for a client that was given the URL and opens it at once; an opened stream lasts as long as the build. */
const LIFE_MS = 3_600_000;

/** Whose log a URL opens. */
export interface LogSubject {
  readonly kind: 'snapshot' | 'sandbox';
  readonly id: string;
}

/**
 * Addresses of build logs. wire: clients append `?follow=true` blindly, so the URL has no query, and some send no header but
 * Authorization: what opens the log is in the path.
 */
export class BuildLogUrls {
  readonly #key: Buffer;
  readonly #publicUrl: string;

  constructor(key: Buffer, publicUrl: string) {
    this.#key = key;
    this.#publicUrl = publicUrl;
  }

  urlOf({ kind, id }: LogSubject, now = Date.now()): string {
    const claim = `${kind}.${id}.${(now + LIFE_MS).toString(36)}`;
    return `${this.#publicUrl}/api/build-logs/${claim}.${this.#sign(claim)}`;
  }

  /** @returns null for what was not handed out here, or too long ago */
  open(token: string, now = Date.now()): LogSubject | null {
    const match = /^((snapshot|sandbox)\.([0-9a-f-]{36})\.([0-9a-z]{1,12}))\.([\w-]{43})$/.exec(token);
    if (!match) return null;
    const [, claim = '', kind, id = '', until = '', signature = ''] = match;
    if (!timingSafeEqual(Buffer.from(signature), Buffer.from(this.#sign(claim)))) return null;
    return Number.parseInt(until, 36) < now ? null : { kind: kind as LogSubject['kind'], id };
  }

  #sign(claim: string): string {
    return createHmac('sha256', this.#key).update(claim).digest('base64url');
  }
}
