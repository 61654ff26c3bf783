/**
 * An S3 endpoint of the user's own, bundled and run inside a sandbox: Paddock's S3 server over a directory.
 * usage: node s3-server.cjs PORT DIRECTORY; prints access key and secret, then serves the bucket `mine`.
 */
import { createServer } from 'node:http';
import { CredentialIssuer, createS3Server, DiskBlobs } from '@paddock/store';

const [port = '0', directory = '.'] = process.argv.slice(2);
const issuer = new CredentialIssuer(Buffer.alloc(32, 7));
const s3 = createS3Server({ blobs: new DiskBlobs(directory), issuer: () => Promise.resolve(issuer), bucket: 'mine', region: 'us-east-1' });
const server = createServer((req, res) => s3.handle(req, res, false));
server.on('checkContinue', (req, res) => s3.handle(req, res, true));
server.listen(Number(port), '127.0.0.1', () => {
  const { accessKey, secretKey } = issuer.issue({ prefix: '', actions: ['read', 'write', 'list', 'delete'], expiresInSeconds: null }, 'keys');
  console.log(`${accessKey} ${secretKey}`);
});
