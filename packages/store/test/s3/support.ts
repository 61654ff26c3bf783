import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import type { ObjectAccess } from '@paddock/contract';
import { createS3Server, CredentialIssuer, DiskBlobs, type ObjectScope, type S3Event } from '@paddock/store';
import aws4 from 'aws4';

export const BUCKET = 'test-bucket';

export interface TestS3 extends AsyncDisposable {
  readonly origin: string;
  readonly port: number;
  readonly root: string;
  readonly blobs: DiskBlobs;
  readonly issuer: CredentialIssuer;
  readonly events: S3Event[];
  /** Server's clock minus the real one, ms. */
  skewMs: number;
  access(scope?: Partial<ObjectScope>, form?: 'session' | 'keys'): ObjectAccess;
}

/** A server as the control plane runs it, on a port of its own. */
export async function startS3(): Promise<TestS3> {
  const root = mkdtempSync(join(tmpdir(), 'paddock-s3-'));
  const blobs = new DiskBlobs(root);
  await blobs.open(); // the server's first look for abandoned uploads would make the directories while they are removed again
  const issuer = new CredentialIssuer(randomBytes(32));
  const events: S3Event[] = [];
  const it = { skewMs: 0 };
  const s3 = createS3Server({ blobs, issuer: async () => issuer, bucket: BUCKET, region: 'us-east-1', report: (event) => events.push(event), now: () => Date.now() + it.skewMs });
  const server = createServer({ keepAliveTimeout: 75_000 }, (req, res) => (s3.claims(req) ? s3.handle(req, res, false) : res.writeHead(404).end()));
  server.on('checkContinue', (req, res) => s3.handle(req, res, true));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  return Object.assign(it, {
    origin, port, root, blobs, issuer, events,
    access(scope: Partial<ObjectScope> = {}, form: 'session' | 'keys' = 'session'): ObjectAccess {
      const whole: ObjectScope = { prefix: '', actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: 3600, ...scope };
      return { endpoint: origin, region: 'us-east-1', bucket: BUCKET, prefix: whole.prefix, ...issuer.issue(whole, form, Date.now() + it.skewMs) };
    },
    async [Symbol.asyncDispose]() {
      s3.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      blobs.close();
      rmSync(root, { recursive: true, force: true });
    },
  });
}

export function sdkClient({ endpoint, region, accessKey, secretKey, sessionToken }: ObjectAccess): S3Client {
  return new S3Client({ endpoint, region, forcePathStyle: true, maxAttempts: 1, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey, ...(sessionToken === null ? {} : { sessionToken }) } });
}

export interface RawReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** `Code` of an error body. */
  readonly code: string | null;
}

export interface RawCall {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** Changes the signed request before it is sent. */
  readonly tamper?: (request: { path: string; headers: Record<string, string>; body: Buffer | undefined }) => void;
  /** Sent as it is. */
  readonly unsigned?: boolean;
  readonly signQuery?: boolean;
}

/** One request signed by aws4, of which anything can be broken. @param path with bucket, percent-encoded */
export async function raw(access: ObjectAccess, path: string, { method = 'GET', headers = {}, body, tamper, unsigned = false, signQuery = false }: RawCall = {}): Promise<RawReply> {
  const { host, port } = new URL(access.endpoint);
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const all: Record<string, string> = { host, ...(bytes === undefined ? {} : { 'content-length': String(bytes.length) }), ...(signQuery ? {} : { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }), ...headers };
  const credentials = { accessKeyId: access.accessKey, secretAccessKey: access.secretKey, ...(access.sessionToken === null ? {} : { sessionToken: access.sessionToken }) };
  const signed = unsigned ? { path, headers: all } : aws4.sign({ service: 's3', region: access.region, method, path, headers: all, signQuery, host }, credentials);
  const request = { path: signed.path!, headers: signed.headers as Record<string, string>, body: bytes };
  tamper?.(request);
  return new Promise((resolve, reject) => {
    const call = httpRequest({ host: '127.0.0.1', port, method, path: request.path, headers: request.headers, setHost: false }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: reply.statusCode ?? 0, headers: reply.headers, text, code: /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? null });
      });
    });
    call.on('error', reject);
    call.end(request.body);
  });
}
