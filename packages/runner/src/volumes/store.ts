import type { ObjectAccess } from '@paddock/contract';

/** Where one driver keeps volumes. Ids are UUIDs, checked by whoever calls. */
export interface VolumeStore {
  open(): Promise<void>;
  /** Idempotent: an existing volume keeps its data. @param access what the driver needs to reach it, when that is elsewhere */
  create(id: string, access: ObjectAccess | null): Promise<void>;
  /** Nothing of it is left on this machine. Idempotent. */
  destroy(id: string): Promise<void>;
  list(): Promise<string[]>;
  /**
   * A mount of the volume, or of a directory in it that is made when missing, which is in no namespace yet.
   * @param userNs descriptor of the user namespace that ids are mapped for, where the driver can
   * @param attributes MOUNT_ATTR bits
   * @returns a descriptor for the caller to close; null when there is no such volume
   */
  detach(id: string, subpath: string | null, userNs: number, attributes: bigint): Promise<number | null>;
  close(): Promise<void>;
}

/**
 * Everyone in a sandbox may write into a volume, as on the wire's volumes (directories 0777), whose users know no other owner.
 * Files inside have the owner and mode their creator gives them, where the driver keeps such.
 */
export const ROOT_MODE = 0o777;
