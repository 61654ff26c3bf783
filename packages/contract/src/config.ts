import type { VolumeDriver } from './runner-api.ts';

/**
 * Settings of one instance, resolved once by the CLI (flags over environment over TOML over defaults) and handed to the
 * control plane and the runner as one JSON line on stdin: secrets are then in no argument list and no environment.
 * The pipe stays open for as long as the parent lives; its end tells a child to stop.
 */
export interface PaddockConfig {
  /** Absolute. `PADDOCK_DATA_DIR`, default /var/lib/paddock. */
  readonly dataDir: string;
  /** Parent of the instance's run directory. Default /run/paddock. */
  readonly runRoot: string;
  /** Address the API and gateway listen on. `PADDOCK_HOST`, default 127.0.0.1. */
  readonly host: string;
  /** `PADDOCK_PORT`, default 3000. */
  readonly port: number;
  /** Port of the SSH gateway, on the same address; 0: none. `PADDOCK_SSH_PORT`, default 2222. */
  readonly sshPort: number;
  /** Origin under which clients reach this server, no trailing slash. `PADDOCK_PUBLIC_URL`, default http://localhost:<port>. */
  readonly publicUrl: string;
  /** Preview hosts are `{port}-{sandboxId}.<previewDomain>`; may hold a port. `PADDOCK_PREVIEW_DOMAIN`, default localhost:<port>. */
  readonly previewDomain: string;
  /** Scheme of preview URLs, from publicUrl unless set. */
  readonly previewProtocol: 'http' | 'https';
  /** Reverse proxies whose X-Forwarded-* count (CIDRs). Default none. */
  readonly trustedProxies: readonly string[];
  /** `DATABASE_URL`; null: embedded PostgreSQL. The CLI fills in the embedded one's URL before it starts the control plane. */
  readonly databaseUrl: string | null;
  /** `PADDOCK_ADMIN_API_KEY`; null: one is generated at first start and printed once. */
  readonly adminApiKey: string | null;
  /** Bearer for GET /api/health/ready; null: any admin key. */
  readonly healthApiKey: string | null;
  /** System user that PostgreSQL and the control plane run as when started by root. Default paddock. */
  readonly serviceUser: string;
  /** Region id and name. Default `us`: the MCP server's models pass it. */
  readonly region: string;
  readonly defaultSnapshot: string;
  /** Sandboxes kept ready for each default snapshot. 0 turns the pool off. */
  readonly warmPool: Readonly<Record<string, number>>;
  readonly pool: {
    /** Size of the sparse loop file in GiB when there is no device. */
    readonly sizeGiB: number;
    /** Block device with (or for) btrfs; null: loop file in the data directory. */
    readonly device: string | null;
  };
  readonly volumes: {
    /** Where new volumes are kept. `PADDOCK_VOLUMES_DRIVER`, default local. */
    readonly driver: VolumeDriver;
    /** What a local volume may hold; applied when it is made. */
    readonly sizeGiB: number;
  };
  readonly image: {
    /** Image of the default snapshots, by its name in the runner's store. `PADDOCK_DEFAULT_IMAGE`, default slim. */
    readonly default: string;
    /** Debian suite of the slim image. */
    readonly suite: string;
    /** Mirror for mmdebstrap; null: its own default. */
    readonly mirror: string | null;
  };
  /** Snapshots of sandboxes and builds. */
  readonly images: {
    /**
     * Whether they are put into this server's registry, for other runners and for the time after this machine. `auto`: where the object store is an
     * external one. `PADDOCK_PUBLISH_IMAGES`, default auto.
     */
    readonly publish: 'auto' | 'always' | 'never';
  };
  /** Registries that images are pulled from. */
  readonly registries: {
    /** `host[:port]` as in image references that are spoken to over plain http, besides those of the loopback interface. `PADDOCK_INSECURE_REGISTRIES`. */
    readonly insecure: readonly string[];
    /** Host as in image references → origins that have the same content, tried in turn before the host itself. `PADDOCK_REGISTRY_MIRRORS`. */
    readonly mirrors: Readonly<Record<string, readonly string[]>>;
    /** What one image may unpack to. `PADDOCK_IMAGE_LIMIT_GIB`, default 50. */
    readonly imageLimitGiB: number;
  };
  /** What one build from a Dockerfile may take. */
  readonly builds: {
    /** Cores. `PADDOCK_BUILD_CPUS`, default 2. */
    readonly cpus: number;
    /** `PADDOCK_BUILD_MEMORY_GIB`, default 4. */
    readonly memoryGiB: number;
    /** Of an organization's layer cache together with the build in progress. `PADDOCK_BUILD_DISK_GIB`, default 20. */
    readonly diskGiB: number;
    /** `PADDOCK_BUILD_TIMEOUT_MINUTES`, default 60. */
    readonly timeoutMinutes: number;
    /** Builds at a time on this machine; of one organization there is one. `PADDOCK_BUILDS`, default 2. */
    readonly atOnce: number;
    /**
     * PEM bundle that steps of builds see as /etc/ssl/certs/ca-certificates.crt, for networks whose proxy opens TLS; null: the
     * image's own. `PADDOCK_BUILD_CA_FILE`.
     */
    readonly caFile: string | null;
  };
  readonly network: {
    /** /16 for sandbox links; null: a 10.x.0.0/16 that overlaps no route and no resolver of the host. */
    readonly subnet: string | null;
    /** CIDRs no sandbox reaches besides the host's own addresses. Default link-local (cloud metadata) and multicast. */
    readonly denied: readonly string[];
    /** Upstream resolvers; null: the host's /etc/resolv.conf. */
    readonly dns: readonly string[] | null;
  };
  /** Identity at Amazon for ECR registries that are opened by an organization's IAM role. All null: none, such registries are refused. */
  readonly amazon: {
    /** Role that organizations' roles trust, assumed first. `ECR_BROKER_ROLE_ARN`. */
    readonly brokerRoleArn: string | null;
    readonly accessKeyId: string | null;
    readonly secretAccessKey: string | null;
    readonly sessionToken: string | null;
    /** Service account of Kubernetes: its role and the file with its token. */
    readonly roleArn: string | null;
    readonly webIdentityTokenFile: string | null;
    /** Origins in place of Amazon's own. */
    readonly stsEndpoint: string | null;
    readonly ecrEndpoint: string | null;
  };
  /** External S3 in place of the embedded object store. `S3_*`. */
  readonly objectStore: {
    /** Origin, path style; null: embedded, and the rest but the bucket counts for nothing. */
    readonly endpoint: string | null;
    /** Origin of STS, which makes the temporary credentials that clients get; null: clients get none. */
    readonly stsEndpoint: string | null;
    readonly region: string;
    readonly accessKey: string | null;
    readonly secretKey: string | null;
    readonly bucket: string;
    /** Role that STS is asked to assume, `arn:aws:iam::<accountId>:role/<roleName>`. MinIO needs neither. */
    readonly accountId: string | null;
    readonly roleName: string | null;
  };
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** `host:port` at which the runner, on this machine, reaches the API over plain http. */
export function ownAddress({ host, port }: Pick<PaddockConfig, 'host' | 'port'>): string {
  if (host === '0.0.0.0' || host === 'localhost') return `127.0.0.1:${port}`;
  if (host === '::') return `[::1]:${port}`;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
