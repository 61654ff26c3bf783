import type { ObjectAccess, PaddockConfig } from '@paddock/contract';
import { assumeRole, type Blobs, BlobError, type ObjectScope, presignedGet, S3Blobs } from '@paddock/store';
import { StatusError } from '../http/index.ts';
import { StartRefused } from '../start-refused.ts';
import type { ClientOrigin, ObjectStore } from './object-store.ts';

/** Blobs in an S3 store of the operator's. */
export class ExternalObjectStore implements ObjectStore {
  readonly #config: PaddockConfig['objectStore'];
  /** The operator's own keys: whole bucket, no end. */
  readonly #access: ObjectAccess;
  readonly #blobs: S3Blobs;

  /** @throws StartRefused when settings are missing */
  constructor(config: PaddockConfig['objectStore']) {
    const { endpoint, region, bucket, accessKey, secretKey } = config;
    if (endpoint === null || accessKey === null || secretKey === null) throw new StartRefused('S3_ENDPOINT is set: set S3_ACCESS_KEY and S3_SECRET_KEY too, or none of them for the embedded object store.');
    this.#config = config;
    this.#access = { endpoint, region, bucket, prefix: '', accessKey, secretKey, sessionToken: null };
    this.#blobs = new S3Blobs(this.#access);
  }

  blobs(): Blobs {
    return this.#blobs;
  }

  /** The runner is root on our side and gets the operator's keys; clients get what STS makes of them. */
  async accessFor(scope: ObjectScope, reachableFrom: 'runner' | ClientOrigin): Promise<ObjectAccess> {
    if (reachableFrom === 'runner') return { ...this.#access, prefix: scope.prefix };
    const { stsEndpoint, region, bucket, accountId, roleName } = this.#config;
    if (stsEndpoint === null) throw new StatusError(503, 'Object storage gives no temporary credentials: the operator must set S3_STS_ENDPOINT');
    const roleArn = accountId !== null && roleName !== null ? `arn:aws:iam::${accountId}:role/${roleName}` : null;
    try {
      const credentials = await assumeRole({ endpoint: stsEndpoint, region, accessKey: this.#access.accessKey, secretKey: this.#access.secretKey, roleArn }, bucket, scope);
      return { ...this.#access, ...credentials, prefix: scope.prefix };
    } catch (error) {
      if (error instanceof BlobError) throw new StatusError(400, `Object storage gave no temporary credentials. ${error.message}`);
      throw error;
    }
  }

  async urlFor(key: string, expiresInSeconds: number): Promise<string> {
    return presignedGet(this.#access, key, expiresInSeconds);
  }
}
