/** Builds against a whole runner, with build contexts served the way object storage does: by URL. */
import { randomUUID } from 'node:crypto';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { ImageSource, PaddockConfig, RunnerImage } from '@paddock/contract';
import type { TestRunner } from './support.ts';

type BuildSource = Extract<ImageSource, { kind: 'build' }>;

/** For a runner that is about to start. */
export function limitBuilds(limits: Partial<PaddockConfig['builds']>): (config: PaddockConfig) => void {
  return (config) => void Object.assign(config.builds, limits);
}

export function sourceOf(dockerfile: string, over: Partial<BuildSource> = {}): BuildSource {
  return { kind: 'build', organizationId: ORGANIZATION, dockerfile, contexts: [], auths: [], ...over };
}

export const ORGANIZATION = '11111111-1111-4111-8111-111111111111';

export interface Built {
  readonly image: RunnerImage;
  readonly log: string;
}

/** Builds and waits for the outcome. */
export async function build(runner: TestRunner, source: BuildSource, name = `build-${randomUUID()}`): Promise<Built> {
  const { status, body } = await runner.ask<RunnerImage>('PUT', `/v1/images/${name}`, source);
  if (status !== 202) throw new Error(`PUT answered ${status}: ${JSON.stringify(body)}`);
  const log = await logOf(runner, name);
  const { body: image } = await runner.ask<RunnerImage>('GET', `/v1/images/${name}`);
  return { image, log };
}

/** The log up to its end. */
export function logOf(runner: TestRunner, name: string, until?: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: runner.layout.runnerSocket, path: `/v1/images/${name}/log?follow=true`, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (until?.(text)) call.destroy();
      });
      response.on('close', () => resolve(text));
      response.on('error', () => {}); // ended by us, or with the runner
    });
    call.on('error', reject);
    call.end();
  });
}

export async function tar(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name }, text);
  archive.finalize();
  return buffer(archive);
}

export interface ObjectStorage {
  readonly url: string;
  /** By path; a number is a status. */
  readonly objects: Map<string, Buffer | number>;
  close(): void;
}

export async function objectStorage(): Promise<ObjectStorage> {
  const objects = new Map<string, Buffer | number>();
  const server: Server = createServer((request, response) => {
    const found = objects.get(request.url!.split('?')[0]!) ?? 404;
    if (typeof found === 'number') response.writeHead(found).end();
    else response.end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, objects, close: () => server.close() };
}
