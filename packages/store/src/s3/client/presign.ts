import type { ObjectAccess } from '@paddock/contract';
import aws4 from 'aws4';
import { encodeKey } from '../encoding.ts';

/** @returns URL that anyone may GET for so many seconds (S3 allows up to a week) */
export function presignedGet(access: ObjectAccess, key: string, expiresInSeconds: number): string {
  const { host } = new URL(access.endpoint);
  const path = `/${access.bucket}/${encodeKey(access.prefix + key)}?X-Amz-Expires=${expiresInSeconds}`;
  const signed = aws4.sign({ service: 's3', region: access.region, host, method: 'GET', path, signQuery: true }, awsCredentials(access));
  return `${access.endpoint}${signed.path}`;
}

export function awsCredentials({ accessKey, secretKey, sessionToken }: ObjectAccess): aws4.Credentials {
  return { accessKeyId: accessKey, secretAccessKey: secretKey, ...(sessionToken === null ? {} : { sessionToken }) };
}
