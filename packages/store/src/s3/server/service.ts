import type { ServerResponse } from 'node:http';
import type { Blobs } from '../../blobs/blobs.ts';
import type { ObjectAction } from '../credentials.ts';
import { S3Error } from './errors.ts';
import { param, type S3Request } from './request.ts';
import type { Authenticated } from './signature.ts';
import { document, type XmlContent } from '../xml.ts';

/** One authenticated request under way, and what it may use. */
export interface Exchange {
  readonly request: S3Request;
  readonly res: ServerResponse;
  readonly authenticated: Authenticated;
  readonly blobs: Blobs;
  readonly bucket: string;
  readonly region: string;
  /** Tells a client that waits for `100 Continue` to send its body. */
  continueBody(): void;
}

/** Parts of uploads that are not complete; no client sees what lies here. */
export const UPLOADS = '.uploads/';

/** @throws S3Error AccessDenied unless the credentials allow it for the key */
export function demand({ authenticated: { grant } }: Exchange, action: ObjectAction, key: string): void {
  if (!grant.actions.has(action) || !key.startsWith(grant.prefix) || key.startsWith(UPLOADS)) throw new S3Error('AccessDenied');
}

export function sendXml({ res, request }: Exchange, root: string, content: XmlContent, headers: Readonly<Record<string, string>> = {}): void {
  const body = document(root, content);
  res.writeHead(200, { ...headers, 'content-type': 'application/xml', 'content-length': Buffer.byteLength(body) });
  res.end(request.method === 'HEAD' ? undefined : body);
}

export function sendEmpty({ res }: Exchange, status: 200 | 204, headers: Readonly<Record<string, string>> = {}): void {
  res.writeHead(status, status === 204 ? headers : { ...headers, 'content-length': 0 });
  res.end();
}

/** Objects have one version. */
export function refuseVersions({ request }: Exchange): void {
  const version = param(request, 'versionId');
  if (version !== null && version !== '' && version !== 'null') throw new S3Error('NotImplemented', 'This store keeps no versions.');
}

/** RFC 1123 date, whole seconds. */
export const httpDate = (date: Date): string => date.toUTCString();
/** As in XML bodies. */
export const isoDate = (date: Date): string => date.toISOString();
