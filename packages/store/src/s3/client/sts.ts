import aws4 from 'aws4';
import { BlobError } from '../../blobs/blobs.ts';
import type { ObjectAction, ObjectScope, S3Credentials } from '../credentials.ts';
import { childText, parseXml, type XmlElement } from '../xml.ts';

export interface StsOptions {
  /** Origin of the STS: Amazon's, or that of a store such as MinIO. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Null: the store does without (MinIO). */
  readonly roleArn: string | null;
}

const TIMEOUT_MS = 15_000;
/** wire: what S3 calls each action; uploads in parts belong to writing. */
const ACTIONS: Readonly<Record<ObjectAction, readonly string[]>> = {
  read: ['s3:GetObject'], write: ['s3:PutObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'], delete: ['s3:DeleteObject'], list: [],
};

/** STS AssumeRole (query protocol, 2011-06-15) with a policy that leaves only the scope. @throws BlobError STORE_FAILED */
export async function assumeRole({ endpoint, region, accessKey, secretKey, roleArn }: StsOptions, bucket: string, scope: ObjectScope): Promise<S3Credentials> {
  const { host } = new URL(endpoint);
  const form = new URLSearchParams({
    Action: 'AssumeRole', Version: '2011-06-15', DurationSeconds: String(scope.expiresInSeconds ?? 3600), RoleSessionName: 'paddock',
    ...(roleArn === null ? {} : { RoleArn: roleArn }), Policy: JSON.stringify(policyOf(bucket, scope)),
  });
  const body = form.toString();
  const { headers } = aws4.sign({ service: 'sts', region, host, method: 'POST', path: '/', headers: { host, 'content-type': 'application/x-www-form-urlencoded' }, body }, { accessKeyId: accessKey, secretAccessKey: secretKey });
  let reply: Response;
  let root: XmlElement;
  try {
    reply = await fetch(new URL('/', endpoint), { method: 'POST', headers: headers as Record<string, string>, body, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    root = parseXml(await reply.text());
  } catch (error) {
    throw new BlobError('STORE_FAILED', `STS at ${host} does not answer as STS does`, { cause: error });
  }
  const given = descendant(root, 'Credentials');
  const [key, secret, token] = ['AccessKeyId', 'SecretAccessKey', 'SessionToken'].map((name) => (given ? childText(given, name) : null));
  if (!reply.ok || !key || !secret || !token) {
    const error = descendant(root, 'Error');
    throw new BlobError('STORE_FAILED', `STS at ${host} gave no credentials (${reply.status} ${(error && childText(error, 'Code')) ?? ''}: ${(error && childText(error, 'Message')) ?? ''})`);
  }
  return { accessKey: key, secretKey: secret, sessionToken: token };
}

function policyOf(bucket: string, { prefix, actions }: ObjectScope): unknown {
  const ofObjects = actions.flatMap((action) => ACTIONS[action]);
  return {
    Version: '2012-10-17',
    Statement: [
      ...(ofObjects.length > 0 ? [{ Effect: 'Allow', Action: ofObjects, Resource: [`arn:aws:s3:::${bucket}/${prefix}*`] }] : []),
      ...(actions.includes('list') ? [{ Effect: 'Allow', Action: ['s3:ListBucket'], Resource: [`arn:aws:s3:::${bucket}`], Condition: { StringLike: { 's3:prefix': [prefix.replace(/\/$/, ''), `${prefix}*`] } } }] : []),
    ],
  };
}

function descendant(element: XmlElement, name: string): XmlElement | null {
  if (element.name === name) return element;
  for (const child of element.children) {
    const found = descendant(child, name);
    if (found) return found;
  }
  return null;
}
