import type { GatewayBackend, GatewayFailure, GatewayPrincipal, RoutedSandbox, SignedPreview } from '@paddock/gateway';
import type { Authenticator } from '../auth/index.ts';
import type { Activity } from './activity.ts';
import type { Changes } from './changes.ts';
import type { PreviewStore, SignedTokenRow } from './preview-store.ts';
import type { Previews } from './previews.ts';
import { isWarm, type Sandbox } from './sandbox.ts';
import { isUuid, type SandboxStore } from './store.ts';
import { shownState } from './states.ts';

/** Sandboxes remembered; an entry is some hundred bytes. Beyond it the oldest goes. */
const REMEMBERED = 20_000;
/** A token is read again after this time, so that one revoked by another control plane ends soon. */
const TOKEN_FRESH_MS = 3_000;

export interface GatewayBackendDeps {
  readonly store: SandboxStore;
  readonly previewStore: PreviewStore;
  readonly previews: Previews;
  readonly changes: Changes;
  readonly activity: Activity;
  readonly auth: Authenticator;
  readonly cookieKey: Uint8Array;
  readonly report: (failure: GatewayFailure) => void;
}

/**
 * Answers the gateway from memory. Each committed change of a sandbox replaces its entry, so a request that follows a
 * reply of the API sees what the reply said.
 */
export function createGatewayBackend(deps: GatewayBackendDeps): GatewayBackend {
  const { store, previewStore, previews, changes, activity, auth } = deps;
  const sandboxes = new Map<string, RoutedSandbox | null>();
  const loading = new Map<string, Promise<RoutedSandbox | null>>();
  const tokens = new Map<string, { readonly row: SignedTokenRow; readonly readAt: number }>();
  const listeners = new Set<(sandboxId: string) => void>();

  changes.subscribe(({ sandbox }) => {
    remember(sandbox.id, routed(sandbox));
    for (const listener of listeners) listener(sandbox.id);
  });
  previews.onRevoked((token) => void tokens.delete(token));

  function remember(id: string, entry: RoutedSandbox | null): void {
    sandboxes.delete(id);
    sandboxes.set(id, entry);
    if (sandboxes.size > REMEMBERED) sandboxes.delete(sandboxes.keys().next().value!);
  }

  async function load(id: string): Promise<RoutedSandbox | null> {
    const row = await store.byId(id);
    // A change that was committed while we read is newer than what we read.
    if (!sandboxes.has(id) && row) remember(id, routed(row));
    return sandboxes.get(id) ?? null;
  }

  return {
    cookieKey: deps.cookieKey,
    report: deps.report,
    sandbox(id) {
      const key = id.toLowerCase();
      const known = sandboxes.get(key);
      if (known !== undefined) return known;
      if (!isUuid(key)) return null;
      const running = loading.get(key);
      if (running) return running;
      const read = load(key).finally(() => loading.delete(key));
      loading.set(key, read);
      return read;
    },
    authenticate(bearer) {
      const principal = auth.authenticate(bearer);
      return principal instanceof Promise ? principal.then(asGatewayPrincipal) : asGatewayPrincipal(principal);
    },
    canAccess: (principal, sandbox) => principal.organizationId === sandbox.organizationId,
    signedPreview(token, port) {
      const known = tokens.get(token);
      if (known && performance.now() - known.readAt < TOKEN_FRESH_MS) return answer(known.row, port);
      return previewStore.read(token).then((row) => {
        if (!row) return null;
        tokens.delete(token);
        tokens.set(token, { row, readAt: performance.now() });
        if (tokens.size > REMEMBERED) tokens.delete(tokens.keys().next().value!);
        return answer(row, port);
      });
    },
    touch: (sandboxId) => activity.touch(sandboxId),
    onSandboxChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Destroyed ones, and those that belong to nobody yet, do not exist for the outside. */
function routed(sandbox: Sandbox): RoutedSandbox | null {
  if (sandbox.state === 'destroyed' || isWarm(sandbox)) return null;
  const { id, organizationId, authToken, signingKey } = sandbox;
  return { id, organizationId, state: shownState(sandbox.state, sandbox.desiredState), public: sandbox.public, authToken, signingKey };
}

function answer(row: SignedTokenRow, port: number): SignedPreview | null {
  if (row.port !== port) return null;
  return { sandboxId: row.sandboxId, expired: row.expiresAt.getTime() <= Date.now() };
}

function asGatewayPrincipal(principal: Awaited<ReturnType<Authenticator['authenticate']>>): GatewayPrincipal | null {
  return principal?.kind === 'api-key' ? { organizationId: principal.organizationId } : null;
}
