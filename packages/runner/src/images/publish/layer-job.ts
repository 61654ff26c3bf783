/** What main thread and worker say to each other about one layer that is sent to a registry. */
import type { RegistryAuth } from '@paddock/contract';
import type { RegistryFailure, RegistrySettings } from '../../registry-client/index.ts';
import type { TreeLimits } from './tree-tar.ts';

export interface PublishJob {
  /** Directory with the layer's files, as overlayfs has them. */
  readonly dir: string;
  /** `host/repository`. */
  readonly repository: string;
  readonly auth: RegistryAuth | null;
  readonly settings: RegistrySettings;
  readonly limits: TreeLimits;
  /** One BigInt64: bytes of the tar so far. */
  readonly progress: SharedArrayBuffer;
}

/** What a layer is in registries. */
export interface LayerBlob {
  /** `sha256:<hex>` of the uncompressed tar. */
  readonly diffId: string;
  /** `sha256:<hex>` of the blob. */
  readonly digest: string;
  /** Of the blob. */
  readonly size: number;
}

export type PublishReport =
  | ({ readonly type: 'done' } & LayerBlob)
  /** `tree`: it cannot be an image, with the end of a sentence. `registry`: see RegistryError. `system`: anything else. */
  | { readonly type: 'failed'; readonly what: 'tree' | 'registry' | 'system'; readonly message: string; readonly failure?: RegistryFailure };

export const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+zstd';
