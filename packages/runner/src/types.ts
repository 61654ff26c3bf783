import type { NetworkPolicy } from '@paddock/contract';
import type { WrittenConfig } from './registry-client/index.ts';

/** What the engine asks of storage, images and network. Each part is its own folder and implements one of these. */

/** A user namespace and a network namespace that belong together, made ahead of time. */
export interface NetworkSlot {
  /** 0-based; also decides address, link name and host ids. */
  readonly index: number;
  /** Bind mounts of the two namespaces (exist only in the runner's own mount namespace). */
  readonly userNsPath: string;
  readonly netNsPath: string;
  /** Host id of the sandbox's root; SLOT_IDS ids are mapped. */
  readonly idBase: number;
  readonly address: string;
}

/** Ids mapped into each sandbox: the full 16-bit range images rely on (nobody is 65534). */
export const SLOT_IDS = 65_536;

export interface Network {
  /** Router netns, uplink, rules, resolver; adopts what an earlier runner of the instance left running. */
  open(): Promise<void>;
  /**
   * Hands out a ready pair: link up, address and default route set, `lo` up, and every packet dropped until `apply`.
   * Immediate when the pool holds one.
   */
  take(): Promise<NetworkSlot>;
  /** Replaces the sandbox's egress policy in one transaction; returns when the kernel has it. */
  apply(slot: number, policy: NetworkPolicy): Promise<void>;
  /** Forgets slot and policy; the kernel frees the namespaces when the last process is gone. Idempotent. */
  release(slot: number): Promise<void>;
  /** Marks slots of sandboxes that an earlier runner started as taken; frees every other trace. */
  adopt(slots: ReadonlySet<number>): Promise<void>;
  /** Address of the resolver that sandboxes are given. */
  readonly resolver: string;
  /** @param last no sandbox runs: also removes the router */
  close(last: boolean): Promise<void>;
}

export interface Disks {
  open(): Promise<void>;
  /**
   * Subvolume with upper/ and work/. The quota holds from the mount on. Idempotent: an existing disk keeps its data.
   * @param template that a new disk starts as a clone of; none: it starts empty
   */
  create(id: string, quotaBytes: number, template?: string | null): Promise<void>;
  /** A template disk with the files as they are at that moment; replaces one of the name. For a snapshot of one moment nothing may write meanwhile. */
  snapshot(id: string, template: string): Promise<void>;
  /** After `snapshot`, when the sandbox may go on: what the template holds on to no longer counts against the disk's quota. @returns its bytes */
  settleSnapshot(id: string, template: string, quotaBytes: number): Promise<number>;
  readonly templates: {
    list(): Promise<readonly string[]>;
    /** Directory with the template's files. */
    upper(template: string): string;
    destroy(template: string): Promise<void>;
  };
  /** Directory with the files of a disk above its image's layers. */
  upper(id: string): string;
  /** Bytes that a rebuilt disk may be charged beyond its quota. @param template of the disk's image */
  allowance(id: string, template: string | null): number;
  /** Empty directory to put the files of a disk into. Gone with this runner unless adopted. @param bytes that will be written */
  rebuild(id: string, bytes: number): Promise<string>;
  /** Makes the rebuilt files the disk; on stable storage when it returns. */
  adoptRebuild(id: string, allowanceBytes: number): Promise<void>;
  /** Makes the rebuilt files a template disk of that name, which pays for nothing. @returns its bytes */
  adoptTemplate(name: string): Promise<number>;
  /** Idempotent. */
  dropRebuild(id: string): Promise<void>;
  setQuota(id: string, quotaBytes: number): Promise<void>;
  /**
   * Overlay of the image's layers and the sandbox's upper, ids mapped by the slot's user namespace, at a path in the
   * runner's mount namespace. The container keeps its own copy of the mount, so `unmount` follows the start.
   */
  mount(id: string, layers: readonly string[], slot: NetworkSlot): Promise<string>;
  unmount(id: string): Promise<void>;
  /**
   * Further trees for a sandbox whose root is mounted, each at a path in the runner's mount namespace; `unmount` takes them
   * along. Like the root, they come to the sandbox as bind mounts.
   */
  show(id: string, views: readonly View[], slot: NetworkSlot): Promise<readonly ShownView[]>;
  /** Directory of a disk. Hostile below `upper` and wherever a view let the sandbox write. */
  path(id: string): string;
  /** Subvolume and everything mounted for it. Idempotent. */
  destroy(id: string): Promise<void>;
  list(): Promise<string[]>;
  usage(): Promise<{ totalBytes: number; usedBytes: number }>;
  /** Directory on the pool for small records, outside every quota. */
  readonly recordsDir: string;
  readonly layersDir: string;
  close(): Promise<void>;
}

/** What a sandbox of the runner's own sees besides its image. */
export type View =
  /** Layers, topmost first, read-only as one tree. */
  | { readonly kind: 'layers'; readonly layers: readonly string[]; readonly target: string }
  /** A directory at the top of its disk, beside `upper`, writable. */
  | { readonly kind: 'disk'; readonly directory: string; readonly target: string };

export interface ShownView {
  readonly source: string;
  /** Path inside. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface Image {
  readonly name: string;
  /** Absolute directories, topmost first, as overlayfs wants them. */
  readonly layers: readonly string[];
  /** Template disk that a new sandbox's disk starts as a clone of; null: it starts empty. */
  readonly disk: string | null;
  readonly sizeBytes: number;
  readonly config: ImageConfig;
}

export interface ImageConfig extends WrittenConfig {
  /** /etc/passwd of the image, by name: the engine turns SandboxSpec.user into ids without running anything. */
  readonly users: Readonly<Record<string, Omit<ImageUser, 'name'>>>;
  /** /etc/group: name → id. */
  readonly groups: Readonly<Record<string, number>>;
}

export interface ImageUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly groups: readonly number[];
}
