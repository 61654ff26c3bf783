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
  /** Calls the listener when nobody may enter the sandbox any more who once could, so that its connections end. @returns unsubscribe */
  onRevoked(listener: (sandboxId: string) => void): () => void;
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
