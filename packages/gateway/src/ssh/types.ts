import type { Socket } from 'node:net';
import type { GatewayBackend } from '../types.ts';

/** A token that opens a sandbox now. */
export interface SshAccess {
  readonly id: string;
  readonly sandboxId: string;
}

/** What the SSH gateway asks of the control plane besides what every gateway does. */
export interface SshBackend {
  readonly sandboxes: Pick<GatewayBackend, 'sandbox' | 'touch' | 'onSandboxChanged'>;
  /** @returns null: unknown, revoked or expired */
  access(token: string): Promise<SshAccess | null>;
  /**
   * Calls the listener when nobody may enter the sandbox any more who once could, so that its connections end; with null when that
   * may have happened unheard, so that it asks which accesses are left. @returns unsubscribe
   */
  onRevoked(listener: (sandboxId: string | null) => void): () => void;
  /** @returns those of the accesses that still stand, expired or not */
  remaining(accessIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** One call a connection, at its end. Never holds the token. */
  report?(event: SshEvent): void;
}

export interface SshEvent {
  /** Empty when it did not get that far. */
  readonly sandboxId: string;
  readonly outcome: string;
  readonly durationMs: number;
}

export interface SshGateway {
  /** Serves SSH on a connection that was accepted. */
  serve(socket: Socket): void;
  /** Ends all connections with a word. */
  close(): void;
}
