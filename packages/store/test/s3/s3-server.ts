import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createS3Server, CredentialIssuer, DiskBlobs } from '@paddock/store';

// An object store as a process of its own, which tests use as somebody else's S3. Arguments: directory, bucket. Prints its access as one line of JSON.
const [root = '', bucket = ''] = process.argv.slice(2);
const issuer = new CredentialIssuer(randomBytes(32));
const s3 = createS3Server({ blobs: new DiskBlobs(root), issuer: async () => issuer, bucket, region: 'us-east-1', signedHosts: (req) => [String(req.headers['x-forwarded-host'])] });
const server = createServer((req, res) => s3.handle(req, res, false)).on('checkContinue', (req, res) => s3.handle(req, res, true));
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const keys = issuer.issue({ prefix: '', actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null }, 'keys');
  console.log(JSON.stringify({ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket, prefix: '', ...keys }));
});
process.stdin.on('end', () => process.exit(0)).resume();
