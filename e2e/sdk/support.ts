import * as current from '@daytona/sdk';
import * as renamed from '@daytonaio/sdk';
import { inject } from 'vitest';

/** Shared by every file in this folder: the unmodified SDKs against the server that global-setup.ts started. */
declare module 'vitest' {
  interface ProvidedContext {
    apiUrl: string;
    apiKey: string;
    /** Of Docker Hub's mirror: what a test serves there is what the server finds. */
    mirrorPort: number;
    /** For what the API has no way to set up. */
    postgresSocketDir: string;
    /** Of the server. */
    dataDir: string;
  }
}

export type Sdk = typeof current;
export type Sandbox = current.Sandbox;

/** The package as it is named today, and the highest version published under its former name: their shapes agree where these tests use them. */
export const SDKS: ReadonlyArray<readonly [name: string, sdk: Sdk]> = [
  ['@daytona/sdk 0.216.0', current],
  ['@daytonaio/sdk 0.218.0', renamed as unknown as Sdk],
];

export function client(sdk: Sdk, apiKey = inject('apiKey')): current.Daytona {
  return new sdk.Daytona({ apiUrl: inject('apiUrl'), apiKey });
}

/** Calls the API without an SDK. */
export async function api(path: string, init: RequestInit & { key?: string | null } = {}): Promise<Response> {
  const { key = inject('apiKey'), headers, ...rest } = init;
  return fetch(inject('apiUrl') + path, {
    ...rest,
    headers: { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...(headers as Record<string, string>) },
  });
}

let counter = 0;
/** A name no other test of this run uses. */
export function unique(prefix: string): string {
  counter += 1;
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${counter}`;
}

/** Runs `use` with a sandbox and deletes it whatever happens. */
export async function withSandbox<T>(
  sdk: Sdk, params: current.CreateSandboxFromSnapshotParams, use: (sandbox: Sandbox, daytona: current.Daytona) => Promise<T>,
): Promise<T> {
  const daytona = client(sdk);
  const sandbox = await daytona.create(params);
  try {
    return await use(sandbox, daytona);
  } finally {
    await sandbox.delete().catch((error: unknown) => {
      if (!(error instanceof sdk.DaytonaNotFoundError)) throw error;
    });
  }
}
