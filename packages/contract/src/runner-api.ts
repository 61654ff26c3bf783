import type { RunnerTransfer } from './archives.ts';
import type { RunnerImage, RunnerPublication } from './images.ts';
import type { NetworkPolicy } from './network-policy.ts';

/**
 * Control plane to runner: HTTP with JSON over a unix socket. Every operation is idempotent and names the wanted end,
 * so a caller that got no answer just asks again.
 *
 * | request                              | reply                                                               |
 * |--------------------------------------|---------------------------------------------------------------------|
 * | GET    /v1/info                      | 200 RunnerInfo                                                      |
 * | GET    /v1/sandboxes                 | 200 { sandboxes: RunnerSandbox[] } what really exists                |
 * | GET    /v1/sandboxes/:id             | 200 RunnerSandbox, 404                                              |
 * | PUT    /v1/sandboxes/:id SandboxSpec | 200 StartedSandbox: exists, runs, toolbox answered `POST /init`     |
 * | POST   /v1/sandboxes/:id/stop StopRequest | 200 RunnerSandbox (state stopped); 404                         |
 * | PATCH  /v1/sandboxes/:id SandboxPatch| 200 RunnerSandbox: applied to the live sandbox and kept for its next start |
 * | DELETE /v1/sandboxes/:id             | 204 nothing of it is left; also 204 when it never was               |
 * | PUT    /v1/sandboxes/:id/archive ArchiveRequest | 202 RunnerTransfer: a stopped sandbox's disk is being copied to the object store, or was; `transfer` events tell the end. Starting, stopping or deleting the sandbox ends the copying |
 * | PUT    /v1/sandboxes/:id/restore RestoreRequest | 202 RunnerTransfer: a sandbox that is not here is being rebuilt from an archive, or was; one that is here stays as it is and counts as done |
 * | GET    /v1/images                    | 200 { images: RunnerImage[] }                                        |
 * | PUT    /v1/images/:name ImageSource  | 202 RunnerImage: it is being made (or is there); `image` events tell how it goes. A failed one is tried again |
 * | GET    /v1/images/:name              | 200 RunnerImage, 404                                                 |
 * | DELETE /v1/images/:name              | 204 nobody new may use it, work on it ends; its layers go when no sandbox needs them |
 * | GET    /v1/images/:name/log?follow=  | 200 text: what making it printed; `follow=true` ends when it is ready or failed; 404 |
 * | PUT    /v1/images/:name/publication PublicationRequest | 202 RunnerPublication: a ready image is being sent to a registry, or was; `publication` events tell the end. Deleting the image ends it |
 * | DELETE /v1/images/:name/publication  | 204 nothing of it goes on                                             |
 * | POST   /v1/registry/inspect { reference, auth } | 200 InspectedImage; 404 IMAGE_NOT_FOUND, 502 REGISTRY_FAILED, 503 REGISTRY_UNAVAILABLE |
 * | GET    /v1/volumes                   | 200 { volumes: RunnerVolume[] } whose data is on this runner           |
 * | PUT    /v1/volumes/:id { driver, access } | 200 RunnerVolume: exists, empty if it did not                        |
 * | DELETE /v1/volumes/:id               | 204 its data is gone, also when it never was; 409 VOLUME_IN_USE      |
 * | GET    /v1/events                    | 200 NDJSON of RunnerEvent, never ends; first line is `hello`        |
 *
 * Errors: `{ code, message }` with the status of RUNNER_ERRORS.
 */
export interface SandboxSpec {
  /** UUID, also the host name inside. */
  readonly id: string;
  /** Name of an image in the runner's store. */
  readonly image: string;
  /**
   * User that owns the toolbox and all it starts, as USER in a Dockerfile: a name that the image knows or an id, with `:group` or without.
   * null: the image's own USER, else `daytona` where the image has one, else root.
   */
  readonly user: string | null;
  readonly env: Readonly<Record<string, string>>;
  /** Cores, may be fractional; cpu quota, not pinning. */
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  readonly network: NetworkPolicy;
  /** Mounted before its first process runs. A running sandbox can be given more, none is taken away. */
  readonly volumes: readonly VolumeMount[];
  readonly entrypoint: readonly string[] | null;
  /** Preview token of this start; passed on with `/init`. */
  readonly token: string;
}

/** `local`: on the runner's pool. `s3`: in a bucket, shared between machines. */
export const VOLUME_DRIVERS = ['local', 's3'] as const;
export type VolumeDriver = (typeof VOLUME_DRIVERS)[number];

export interface VolumeMount {
  /** UUID. */
  readonly volumeId: string;
  readonly driver: VolumeDriver;
  /** Absolute, normalised. */
  readonly mountPath: string;
  /** Directory of the volume that is shown, relative and normalised, made when missing; null: all of it. */
  readonly subpath: string | null;
}

export interface RunnerVolume {
  readonly id: string;
  readonly driver: VolumeDriver;
}

export interface SandboxPatch {
  readonly network?: NetworkPolicy;
  readonly cpu?: number;
  readonly memoryGiB?: number;
  /** May only grow. */
  readonly diskGiB?: number;
  /** Re-sent to the toolbox by `/init` and kept for the next start. */
  readonly env?: Readonly<Record<string, string>>;
  readonly token?: string;
  /** All of them; those that a running sandbox has must be among them. */
  readonly volumes?: readonly VolumeMount[];
}

export interface StopRequest {
  /** true: SIGKILL at once. false: SIGTERM, ten seconds, then SIGKILL. */
  readonly force?: boolean;
}

/** `broken`: some of it exists but it can neither run nor be called stopped; only DELETE helps. */
export type RunnerSandboxState = 'started' | 'stopped' | 'broken';

export interface RunnerSandbox {
  readonly id: string;
  readonly state: RunnerSandboxState;
  /** Why it is not running, in words for the user (out of memory, exit status). */
  readonly reason?: string;
}

export interface StartedSandbox extends RunnerSandbox {
  readonly state: 'started';
  readonly toolboxVersion: string;
  /** Milliseconds since the runner got the request, in order of completion: where a cold start's time went. */
  readonly trace: ReadonlyArray<readonly [step: string, atMs: number]>;
}

export interface RunnerInfo {
  readonly version: string;
  readonly cpus: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  readonly diskUsedGiB: number;
  readonly sandboxesStarted: number;
}

export type RunnerEvent =
  | { readonly type: 'hello'; readonly version: string }
  /** Sent when a sandbox's last process ended without anyone having asked for it. */
  | { readonly type: 'sandbox.exited'; readonly id: string; readonly reason: string }
  | { readonly type: 'image'; readonly image: RunnerImage }
  /** The publication of an image ended. */
  | { readonly type: 'publication'; readonly publication: RunnerPublication }
  /** An archive or a restore ended. */
  | { readonly type: 'transfer'; readonly transfer: RunnerTransfer };

/** Code → status and what to do. `message` of the reply adds the facts. */
export const RUNNER_ERRORS = {
  INVALID_SPEC: 400,
  SANDBOX_NOT_FOUND: 404,
  IMAGE_NOT_FOUND: 404,
  IMAGE_NOT_READY: 409,
  /** A sandbox of this runner has it mounted. */
  VOLUME_IN_USE: 409,
  /** The registry refused the credentials or sent what its digest does not vouch for; the message says which. */
  REGISTRY_FAILED: 502,
  /** The registry did not answer in time, or said 429 or 5xx: asking again later may help. */
  REGISTRY_UNAVAILABLE: 503,
  /** The pool has no room for the upper's metadata, or no network slot is free. */
  RUNNER_FULL: 507,
  /** init or toolbox died, or did not answer in time; the sandbox was cleaned up again. */
  START_FAILED: 502,
  /** The object store does not return what was stored in it. */
  ARCHIVE_DAMAGED: 502,
  INTERNAL: 500,
} as const;
export type RunnerErrorCode = keyof typeof RUNNER_ERRORS;
