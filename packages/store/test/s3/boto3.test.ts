import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startS3 } from './support.ts';
import { pythonWithBoto3, run } from './tools.ts';

test('boto3 works with the store', { timeout: 300_000 }, async ({ skip }) => {
  const python = pythonWithBoto3();
  if (typeof python !== 'string') return skip(`no boto3 on this machine: ${python.missing}`);
  await using s3 = await startS3();
  const saw = JSON.parse(await run(python, [join(import.meta.dirname, 'boto3_client.py')], { ACCESS: JSON.stringify(s3.access()), PYTHONDONTWRITEBYTECODE: '1' })) as Record<string, unknown>;
  const pages = Array.from({ length: 25 }, (_, i) => `pages/${String(i).padStart(2, '0')} x`);
  expect(saw).toEqual({
    object: ['hello', { a: 'b' }, 'text/x'], big: true, copy: true, pages, 'old pages': pages, folders: ['boto/', 'pages/'], left: 0,
    errors: ['NoSuchKey', '404', 'NoSuchBucket', 'InvalidRange', 'NotImplemented', 'BadDigest', 'SignatureDoesNotMatch'],
  });
});
