import type { ObjectAccess, PaddockConfig } from '@paddock/contract';
import { type Blobs, CredentialIssuer, DiskBlobs, type ObjectScope, presignedGet } from '@paddock/store';
import type { Settings } from '../settings/index.ts';
import type { ClientOrigin, ObjectStore } from './object-store.ts';

/** Hard-coded in older clients. */
export const EMBEDDED_REGION = 'us-east-1';

/** The database lives on the same disk, and without room it stops for everybody: uploads are refused before. It makes a file for each table and index, and few besides. */
const KEEP_FREE = { bytes: 1024 ** 3, files: 10_000 };

/** Blobs on this machine's disk, served by the API's own port. */
export class EmbeddedObjectStore implements ObjectStore {
  readonly bucket: string;
  readonly region = EMBEDDED_REGION;
  readonly #config: PaddockConfig;
  readonly #settings: Settings;
  readonly #disk: DiskBlobs;
  #issuer: Promise<CredentialIssuer> | null = null;

  constructor(config: PaddockConfig, settings: Settings, blobRoot: string) {
    this.bucket = config.objectStore.bucket;
    this.#config = config;
    this.#settings = settings;
    this.#disk = new DiskBlobs(blobRoot, { keepFree: KEEP_FREE });
  }

  blobs(): Blobs {
    return this.#disk;
  }

  /** Of the same secret in all replicas. */
  issuer(): Promise<CredentialIssuer> {
    this.#issuer ??= this.#settings.secret('object-store').then((secret) => new CredentialIssuer(secret)).catch((error: unknown) => {
      this.#issuer = null;
      throw error;
    });
    return this.#issuer;
  }

  /** Clients get a session token, as from STS; our own parts keys that stand by themselves, which every S3 tool takes. */
  async accessFor(scope: ObjectScope, reachableFrom: 'runner' | ClientOrigin): Promise<ObjectAccess> {
    const issuer = await this.issuer();
    const [endpoint, form] = reachableFrom === 'runner' ? [this.#local(), 'keys' as const] : [reachableFrom.origin, 'session' as const];
    return { endpoint, region: this.region, bucket: this.bucket, prefix: scope.prefix, ...issuer.issue(scope, form) };
  }

  async urlFor(key: string, expiresInSeconds: number): Promise<string> {
    const access = await this.accessFor({ prefix: '', actions: ['read'], expiresInSeconds }, 'runner');
    return presignedGet(access, key, expiresInSeconds);
  }

  close(): void {
    this.#disk.close();
  }

  /** The runner is on this machine. */
  #local(): string {
    const { host, port } = this.#config;
    const address = host === '0.0.0.0' || host === 'localhost' ? '127.0.0.1' : host === '::' ? '::1' : host;
    return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  }
}
