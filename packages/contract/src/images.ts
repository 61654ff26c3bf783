/**
 * Images in a runner's store, as control plane and runner speak of them (routes: runner-api.ts). A name stands for one content
 * for ever: the control plane chooses a new one whenever the content may differ (`sha256-<hex>` for what a registry has under a digest,
 * `build-<uuid>`, `sandbox-<uuid>`), so that repeating a request is always safe. Names without such a prefix are recipes that Paddock ships.
 */
export const IMAGE_NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;

export interface RegistryAuth {
  /** `host[:port]` as in image references; `docker.io` for Docker Hub. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

export type ImageSource =
  /** A recipe of ours, made with mmdebstrap. */
  | { readonly kind: 'recipe' }
  /** Pulled from an OCI registry. `reference` is `host/repository@sha256:<hex>`; `auth` null: anonymous. */
  | {
    readonly kind: 'registry';
    readonly reference: string;
    readonly auth: RegistryAuth | null;
    /**
     * Absent: somebody's image. Else one that a runner of this installation published: the limit for images does not hold, and of one made
     * of a sandbox the topmost layer is the disk that new sandboxes' disks begin as.
     */
    readonly published?: 'image' | 'disk';
  }
  /** Built from a Dockerfile over the merged trees of the contexts, in their order. */
  | {
    readonly kind: 'build';
    /** Owner of the build cache: organizations share none. */
    readonly organizationId: string;
    readonly dockerfile: string;
    /** URLs (presigned where needed) of uncompressed tars. */
    readonly contexts: readonly string[];
    /** For base images. */
    readonly auths: readonly RegistryAuth[];
    /** Base images that are in this runner's store already: reference as the Dockerfile writes it → image name. */
    readonly localBases?: Readonly<Record<string, string>>;
  }
  /** The disk of a sandbox of this runner as it is at that moment, running or not. */
  | { readonly kind: 'sandbox'; readonly sandboxId: string };

/** What the image's own configuration says; null where it says nothing. */
export interface RunnerImageConfig {
  readonly entrypoint: readonly string[] | null;
  readonly cmd: readonly string[] | null;
  readonly workDir: string | null;
  readonly user: string | null;
}

export interface RunnerImage {
  readonly name: string;
  readonly state: 'ready' | 'preparing' | 'failed';
  /** Unpacked size. */
  readonly sizeBytes: number | null;
  /** 0..1 and a sentence, while preparing. */
  readonly progress?: { readonly fraction: number; readonly text: string };
  /** Why it failed, in words for the user. */
  readonly reason?: string;
  /** With `failed`: the cause may pass by itself (registry or network down, 429, 5xx), so another PUT may succeed. */
  readonly transient?: boolean;
  /** When ready. */
  readonly config?: RunnerImageConfig;
}

/** An image of the runner is put into a registry, for other runners and for the time after this one. */
export interface PublicationRequest {
  /** `host/repository` of the image alone. */
  readonly repository: string;
  /** May read and write it, and read the repositories of other images that it shares layers with. */
  readonly auth: RegistryAuth | null;
}

export interface RunnerPublication {
  /** Of the image. */
  readonly name: string;
  readonly state: 'running' | 'done' | 'failed';
  /** Of the layer in progress, unpacked. */
  readonly doneBytes: number;
  /** Of one that is done. `reference` is `host/repository@sha256:<hex>`; `sizeBytes` is what the registry keeps. */
  readonly published?: { readonly reference: string; readonly sizeBytes: number };
  readonly reason?: string;
  /** The cause may pass by itself. */
  readonly transient?: boolean;
}

/** What a registry says about a reference. */
export interface InspectedImage {
  /** `sha256:<hex>` of the manifest for this machine's platform. */
  readonly digest: string;
  /** Sum of the compressed layers. */
  readonly sizeBytes: number;
  /** `host/repository@digest`, normalised: what `ImageSource.reference` takes. */
  readonly reference: string;
}
