import type { IncomingMessage, ServerResponse } from 'node:http';
import { createS3Server, type S3Event } from '@paddock/store';
import type { ControlContext } from '../context.ts';
import { EmbeddedObjectStore } from './embedded.ts';

/** The embedded store at the API's own port. */
export interface ObjectInlet {
  matches(req: IncomingMessage): boolean;
  ownsHost(req: IncomingMessage): boolean;
  handle(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void;
  close(): void;
}

/** @returns null: the store is elsewhere */
export function serveObjects({ objects, config, log }: Pick<ControlContext, 'objects' | 'config' | 'log'>): ObjectInlet | null {
  if (!(objects instanceof EmbeddedObjectStore)) return null;
  const publicHost = new URL(config.publicUrl).host;
  const server = createS3Server({
    blobs: objects.blobs(), issuer: () => objects.issuer(), bucket: objects.bucket, region: objects.region,
    // What a client signed is proven by the signature: these are only further candidates.
    signedHosts: (req) => [req.headers['x-forwarded-host'], publicHost].filter((host): host is string => typeof host === 'string'),
    report: ({ error, ...event }: S3Event) => {
      const line = { ...event, durationMs: Math.round(event.durationMs * 10) / 10, ...(error === null ? {} : { err: error }) };
      log[error !== null ? 'error' : 'debug'](line, 's3 request');
    },
  });
  return {
    // The API's own paths stay the API's, whatever a request brings as authorization.
    matches: (req) => server.claims(req) !== null && !/^\/api(\/|$)/.test(req.url ?? ''),
    ownsHost: (req) => server.claims(req) === 'host',
    handle: server.handle,
    close() {
      server.close();
      objects.close();
    },
  };
}
