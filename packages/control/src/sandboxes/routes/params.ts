import { SandboxDto } from '@paddock/contract';
import { Type } from 'typebox';
import type { Permission } from '@paddock/contract';
import type { DiskOperations } from '../disk-operations.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Previews } from '../previews.ts';
import type { Properties } from '../properties.ts';
import type { SshAccesses } from '../ssh-accesses.ts';
import type { ListStore } from '../list-store.ts';
import type { Activity } from '../activity.ts';
import type { Sandbox } from '../sandbox.ts';
import type { SandboxListItemDto } from '@paddock/contract';

/** What the routes of sandboxes work with. */
export interface SandboxServices {
  readonly lifecycle: Lifecycle;
  readonly diskOperations: DiskOperations;
  readonly properties: Properties;
  readonly previews: Previews;
  readonly sshAccesses: SshAccesses;
  readonly lists: ListStore;
  readonly activity: Activity;
  readonly toolboxProxyUrl: string;
  readonly toDto: (sandbox: Sandbox) => SandboxDto;
  readonly toListItem: (sandbox: Sandbox) => SandboxListItemDto;
}

export const IdOrName = Type.Object({ sandboxIdOrName: Type.String() });

export const MAY_WRITE = { access: { requires: ['write:sandboxes'] as Permission[] } };
export const MAY_DELETE = { access: { requires: ['delete:sandboxes'] as Permission[] } };

/** Documentation of an operation that answers with the sandbox. */
export function sandboxOperation(operationId: string, more: { params?: ReturnType<typeof Type.Object>; body?: unknown; code?: number } = {}): Record<string, unknown> {
  const { params = IdOrName, body, code = 200 } = more;
  return { tags: ['sandbox'], operationId, params, ...(body ? { body } : {}), response: { [code]: SandboxDto } };
}
