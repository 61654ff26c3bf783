import type { PaddockConfig } from '@paddock/contract';
import { StatusError } from '../http/index.ts';
import type { PreviewStore } from './preview-store.ts';
import type { Sandbox } from './sandbox.ts';
import { newSignedPreviewToken } from './tokens.ts';

/** wire: a minute unless asked otherwise, a day at most. */
const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 86_400;

export interface PreviewsDeps {
  readonly config: Pick<PaddockConfig, 'previewDomain' | 'previewProtocol'>;
  readonly store: PreviewStore;
  readonly find: (organizationId: string, idOrName: string) => Promise<Sandbox>;
}

/** Addresses under which a port of a sandbox is reached. They are given out in every state. */
export class Previews {
  readonly #deps: PreviewsDeps;
  /** Revoked or changed tokens: what was read of them before is old. */
  readonly #listeners = new Set<(token: string) => void>();

  constructor(deps: PreviewsDeps) {
    this.#deps = deps;
  }

  onRevoked(listener: (token: string) => void): void {
    this.#listeners.add(listener);
  }

  async standard(organizationId: string, idOrName: string, portText: string): Promise<{ sandboxId: string; url: string; token: string }> {
    const port = parsePort(portText);
    const sandbox = await this.#deps.find(organizationId, idOrName);
    return { sandboxId: sandbox.id, url: this.#url(port, sandbox.id), token: sandbox.authToken };
  }

  async signed(organizationId: string, idOrName: string, portText: string, seconds: unknown): Promise<{ sandboxId: string; port: number; token: string; url: string }> {
    const port = parsePort(portText);
    const lifetime = seconds === undefined || seconds === '' ? DEFAULT_SECONDS : Number(seconds);
    if (!Number.isInteger(lifetime) || lifetime < 1 || lifetime > MAX_SECONDS) {
      throw new StatusError(400, `expiresInSeconds must be a whole number between 1 and ${MAX_SECONDS}`);
    }
    const sandbox = await this.#deps.find(organizationId, idOrName);
    const token = newSignedPreviewToken();
    await this.#deps.store.insert(token, sandbox.id, port, new Date(Date.now() + lifetime * 1_000));
    return { sandboxId: sandbox.id, port, token, url: this.#url(port, token) };
  }

  /** Ends a signed URL before its time. One that is not there has ended already. */
  async expire(organizationId: string, idOrName: string, portText: string, token: string): Promise<void> {
    const port = parsePort(portText);
    const sandbox = await this.#deps.find(organizationId, idOrName);
    if (await this.#deps.store.remove(token, sandbox.id, port)) for (const listener of this.#listeners) listener(token);
  }

  #url(port: number, label: string): string {
    const { previewProtocol, previewDomain } = this.#deps.config;
    return `${previewProtocol}://${port}-${label}.${previewDomain}`;
  }
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port >= 1 && port <= 65_535)) throw new StatusError(400, 'Invalid port: it must be a number between 1 and 65535');
  return port;
}
