import { S3Error } from './errors.ts';
import { listObjects, OWNER } from './listing.ts';
import { abortUpload, completeUpload, copyPart, createUpload, listParts, listUploads, putPart } from './multipart.ts';
import { copyObject, deleteObject, deleteObjects, getObject, putObject } from './objects.ts';
import { header, param, type S3Request } from './request.ts';
import { type Exchange, sendEmpty, sendXml } from './service.ts';

type Operation = (exchange: Exchange) => Promise<void> | void;

/** Subresources of S3 that this store has none of. Parameters that S3 does not know either are ignored, as S3 does. */
const UNKNOWN = new Set(
  ('accelerate acl analytics attributes cors encryption intelligent-tiering inventory legal-hold lifecycle logging metadataTable metrics notification object-lock '
    + 'ownershipControls policy policyStatus publicAccessBlock renameObject replication requestPayment restore retention select session tagging torrent versions website').split(' '),
);

/** @returns name and code of the operation that the request asks for @throws S3Error */
export function route(request: S3Request, bucket: string): { readonly name: string; readonly run: Operation } {
  const unknown = request.query.find(([name]) => UNKNOWN.has(name));
  if (unknown !== undefined) throw new S3Error('NotImplemented', undefined, { Resource: `?${unknown[0]}` });
  const found = request.bucket === null ? ofService(request) : request.key === '' ? ofBucket(request) : ofObject(request);
  if (found === null) throw new S3Error('MethodNotAllowed', undefined, { Method: request.method });
  if (request.bucket !== null && request.bucket !== bucket) throw new S3Error('NoSuchBucket', undefined, { BucketName: request.bucket.slice(0, 100) });
  return { name: found[0], run: found[1] };
}

type Found = readonly [name: string, run: Operation] | null;

function ofService({ method }: S3Request): Found {
  return method === 'GET' ? ['ListBuckets', listBuckets] : null;
}

function ofBucket(request: S3Request): Found {
  const has = (name: string) => param(request, name) !== null;
  switch (request.method) {
    case 'GET':
      if (has('location')) return ['GetBucketLocation', bucketLocation];
      if (has('versioning')) return ['GetBucketVersioning', bucketVersioning];
      if (has('uploads')) return ['ListMultipartUploads', listUploads];
      return ['ListObjects', listObjects];
    case 'HEAD':
      return ['HeadBucket', (exchange) => sendEmpty(exchange, 200, { 'x-amz-bucket-region': exchange.region })];
    case 'POST':
      if (has('delete')) return ['DeleteObjects', deleteObjects];
      throw new S3Error('NotImplemented', 'Uploads by HTML forms are not implemented.');
    case 'PUT':
      if (has('versioning')) throw new S3Error('NotImplemented', 'This store keeps no versions.');
      return ['CreateBucket', ({ bucket }) => { throw new S3Error('BucketAlreadyOwnedByYou', undefined, { BucketName: bucket }); }];
    case 'DELETE':
      return ['DeleteBucket', () => { throw new S3Error('AccessDenied', 'The bucket is part of the installation.'); }];
    default:
      return null;
  }
}

function ofObject(request: S3Request): Found {
  const has = (name: string) => param(request, name) !== null;
  switch (request.method) {
    case 'GET':
      return has('uploadId') ? ['ListParts', listParts] : ['GetObject', getObject];
    case 'HEAD':
      return ['HeadObject', getObject];
    case 'PUT': {
      const copies = header(request, 'x-amz-copy-source') !== null;
      if (has('uploadId')) return copies ? ['UploadPartCopy', copyPart] : ['UploadPart', putPart];
      return copies ? ['CopyObject', copyObject] : ['PutObject', putObject];
    }
    case 'POST':
      if (has('uploads')) return ['CreateMultipartUpload', createUpload];
      return has('uploadId') ? ['CompleteMultipartUpload', completeUpload] : null;
    case 'DELETE':
      return has('uploadId') ? ['AbortMultipartUpload', abortUpload] : ['DeleteObject', deleteObject];
    default:
      return null;
  }
}

const listBuckets: Operation = (exchange) => sendXml(exchange, 'ListAllMyBucketsResult', {
  Buckets: { Bucket: { Name: exchange.bucket, CreationDate: '2026-01-01T00:00:00.000Z' } }, Owner: OWNER,
});

/** wire: us-east-1 is written as nothing. */
const bucketLocation: Operation = (exchange) => sendXml(exchange, 'LocationConstraint', exchange.region === 'us-east-1' ? '' : exchange.region);

const bucketVersioning: Operation = (exchange) => sendXml(exchange, 'VersioningConfiguration', '');
