/**
 * What someone outside of the control plane (runner, SDK, volume driver) needs to reach blobs: an S3 endpoint, path style, and
 * credentials that open one prefix of one bucket. Holds secrets: never logged, never in an argument list.
 */
export interface ObjectAccess {
  /** Origin, no trailing slash. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Keys begin with it; empty or ends with `/`. */
  readonly prefix: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Null: the keys stand by themselves. */
  readonly sessionToken: string | null;
}
