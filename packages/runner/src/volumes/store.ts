/** Where one driver keeps volumes. Ids are UUIDs, checked by whoever calls. */
export interface VolumeStore {
  open(): Promise<void>;
  /** Idempotent: an existing volume keeps its data. */
  create(id: string): Promise<void>;
  /** Nothing of it is left. Idempotent. */
  destroy(id: string): Promise<void>;
  list(): Promise<string[]>;
  /** Descriptor (O_PATH) of the root directory, for the caller to close; null when there is no such volume. */
  openRoot(id: string): Promise<number | null>;
  /** Files keep their ids on disk and are mapped for each sandbox. Else every file shows as everyone's. */
  readonly mapsIds: boolean;
  close(): Promise<void>;
}

/**
 * Everyone in a sandbox may write into a volume, as on the wire's volumes (directories 0777), whose users know no other owner.
 * Files inside have the owner and mode their creator gives them.
 */
export const ROOT_MODE = 0o777;
