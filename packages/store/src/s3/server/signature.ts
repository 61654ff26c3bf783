import { createHash, createHmac } from 'node:crypto';
import { encodeKey, encodeStrict } from '../encoding.ts';
import { type CredentialIssuer, equal, type Grant } from '../credentials.ts';
import { S3Error } from './errors.ts';
import { header, param, type S3Request } from './request.ts';

/** AWS Signature Version 4 as S3 uses it: in the Authorization header, or in the query (presigned). */
const ALGORITHM = 'AWS4-HMAC-SHA256';
/** wire: how far the clocks of the two sides may be apart. */
const MAX_SKEW_MS = 15 * 60_000;
/** wire: a presigned URL is good for a week at most. */
const MAX_EXPIRES_SECONDS = 7 * 24 * 3600;
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
const UNSIGNED = 'UNSIGNED-PAYLOAD';

/** A request whose signature is right. */
export interface Authenticated {
  readonly grant: Grant;
  /** Value of x-amz-content-sha256: what the signature says about the body. */
  readonly payloadHash: string;
  /** For bodies whose chunks are signed one by one. */
  readonly chain: SigningChain;
}

export interface SigningChain {
  readonly signingKey: Buffer;
  readonly date: string;
  readonly scope: string;
  /** Signature of the request, the first link. */
  readonly seed: string;
}

interface Claim {
  readonly presigned: boolean;
  readonly accessKey: string;
  /** `<yyyymmdd>/<region>/<service>/aws4_request` */
  readonly scope: readonly [day: string, region: string, service: string, end: string];
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly date: string;
  readonly sessionToken: string | null;
  readonly payloadHash: string;
}

/** Whether a request wants to be treated as S3's, right or wrong. Signatures of version 2 are told so: boto3 presigns with them unless it is configured otherwise. */
export function isSigned(authorization: string | undefined, url: string): boolean {
  return /^AWS(4-HMAC-SHA256)? /.test(authorization ?? '') || /[?&](X-Amz-Algorithm|AWSAccessKeyId)=/.test(url);
}

/**
 * @param hosts further hosts under which the client may have signed: a proxy in between may have changed the Host header
 * @throws S3Error
 */
export function authenticate(request: S3Request, issuer: CredentialIssuer, hosts: readonly string[], now: number): Authenticated {
  const claim = readClaim(request);
  const found = issuer.lookUp(claim.accessKey, claim.sessionToken);
  if (!found.ok) throw new S3Error(found.code, undefined, found.code === 'InvalidAccessKeyId' ? { AWSAccessKeyId: claim.accessKey.slice(0, 128) } : {});
  checkTime(request, claim, now);
  checkHeaders(request, claim);
  const { grant } = found;
  const signingKey = deriveKey(grant.secretKey, claim.scope);
  const scope = claim.scope.join('/');
  const right = [null, ...hosts].some((host) => equal(claim.signature, sign(signingKey, stringToSign(claim.date, scope, canonicalRequest(request, claim, host)))));
  if (!right) throw new S3Error('SignatureDoesNotMatch', undefined, { AWSAccessKeyId: claim.accessKey.slice(0, 128) });
  if (grant.expiresAt !== null && grant.expiresAt.getTime() <= now) throw new S3Error('ExpiredToken');
  return { grant, payloadHash: claim.payloadHash, chain: { signingKey, date: claim.date, scope, seed: claim.signature } };
}

function readClaim(request: S3Request): Claim {
  const authorization = header(request, 'authorization');
  const inQuery = param(request, 'X-Amz-Algorithm');
  if (authorization !== null && inQuery !== null) throw new S3Error('InvalidArgument', 'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified');
  if (authorization === null && inQuery === null) throw unsupported();
  return authorization !== null ? claimOfHeader(request, authorization) : claimOfQuery(request);
}

function unsupported(): S3Error {
  return new S3Error('InvalidRequest', `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`);
}

function claimOfHeader(request: S3Request, authorization: string): Claim {
  if (!authorization.startsWith(`${ALGORITHM} `)) throw unsupported();
  const fields = new Map(authorization.slice(ALGORITHM.length).split(',').map((field) => {
    const [name = '', ...value] = field.trim().split('=');
    return [name, value.join('=')] as const;
  }));
  const [credential, signedHeaders, signature] = [fields.get('Credential'), fields.get('SignedHeaders'), fields.get('Signature')];
  if (!credential || !signedHeaders || !signature) throw new S3Error('AuthorizationHeaderMalformed');
  const date = header(request, 'x-amz-date');
  if (date === null || !DATE.test(date)) throw new S3Error('AccessDenied', 'AWS authentication requires a valid x-amz-date header');
  const payloadHash = header(request, 'x-amz-content-sha256');
  if (payloadHash === null) throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  return {
    ...readCredential(credential, date, 'AuthorizationHeaderMalformed'), presigned: false, signedHeaders: signedHeaders.split(';'), signature, date, payloadHash,
    sessionToken: header(request, 'x-amz-security-token'),
  };
}

function claimOfQuery(request: S3Request): Claim {
  const need = (name: string): string => {
    const value = param(request, name);
    if (value === null || value === '') throw new S3Error('AuthorizationQueryParametersError', 'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.');
    return value;
  };
  if (need('X-Amz-Algorithm') !== ALGORITHM) throw new S3Error('AuthorizationQueryParametersError', `X-Amz-Algorithm only supports "${ALGORITHM}"`);
  const date = need('X-Amz-Date');
  if (!DATE.test(date)) throw new S3Error('AuthorizationQueryParametersError', 'X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd\'T\'HHmmss\'Z\'"');
  const expires = need('X-Amz-Expires');
  if (!/^\d{1,7}$/.test(expires) || Number(expires) < 1 || Number(expires) > MAX_EXPIRES_SECONDS) throw new S3Error('AuthorizationQueryParametersError', 'X-Amz-Expires must be between 1 and 604800 seconds');
  return {
    ...readCredential(need('X-Amz-Credential'), date, 'AuthorizationQueryParametersError'), presigned: true, signedHeaders: need('X-Amz-SignedHeaders').split(';'),
    signature: need('X-Amz-Signature'), date, payloadHash: header(request, 'x-amz-content-sha256') ?? param(request, 'X-Amz-Content-Sha256') ?? UNSIGNED,
    sessionToken: param(request, 'X-Amz-Security-Token') ?? header(request, 'x-amz-security-token'),
  };
}

function readCredential(text: string, date: string, code: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError'): Pick<Claim, 'accessKey' | 'scope'> {
  const [end = '', service = '', region = '', day = '', ...key] = text.split('/').reverse();
  // Any region will do: there is one, and clients bring whatever they default to.
  if (key.length === 0 || region === '' || service !== 's3' || end !== 'aws4_request') throw new S3Error(code, 'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request".');
  if (day !== date.slice(0, 8)) throw new S3Error(code, 'The date of the Credential is not that of the request.');
  return { accessKey: key.reverse().join('/'), scope: [day, region, service, end] };
}

function checkTime(request: S3Request, { presigned, date }: Claim, now: number): void {
  const [, year, month, day, hour, minute, second] = DATE.exec(date)!.map(Number) as [number, number, number, number, number, number, number];
  const signedAt = Date.UTC(year, month - 1, day, hour, minute, second);
  const server = new Date(now).toISOString();
  if (presigned) {
    const expiresAt = signedAt + Number(param(request, 'X-Amz-Expires')) * 1000;
    if (now > expiresAt) throw new S3Error('AccessDenied', 'Request has expired', { 'X-Amz-Expires': param(request, 'X-Amz-Expires')!, Expires: new Date(expiresAt).toISOString(), ServerTime: server });
    if (signedAt > now + MAX_SKEW_MS) throw new S3Error('AccessDenied', 'Request is not yet valid', { ServerTime: server });
  } else if (Math.abs(now - signedAt) > MAX_SKEW_MS) {
    throw new S3Error('RequestTimeTooSkewed', undefined, { RequestTime: date, ServerTime: server, MaxAllowedSkewMilliseconds: MAX_SKEW_MS });
  }
}

/** A header that changes what a request means must be signed, or whoever is in between could add it. */
function checkHeaders(request: S3Request, { signedHeaders }: Claim): void {
  if (!signedHeaders.includes('host')) throw new S3Error('AccessDenied', 'The host header must be signed');
  const unsigned = Object.keys(request.raw.headers).filter((name) => name.startsWith('x-amz-') && !signedHeaders.includes(name));
  if (unsigned.length > 0) throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', { HeadersNotSigned: unsigned.join(', ') });
}

function canonicalRequest(request: S3Request, { presigned, signedHeaders, payloadHash }: Claim, host: string | null): Buffer {
  const query = request.query
    .filter(([name]) => !(presigned && name === 'X-Amz-Signature'))
    .map(([name, value]) => [encodeStrict(name), encodeStrict(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const headers = signedHeaders.map((name) => `${name}:${name === 'host' && host !== null ? host : headerValues(request, name)}\n`).join('');
  // Header values are latin1 text here, so that their bytes are those that came.
  return Buffer.from([request.method, encodeKey(request.path), query, headers, signedHeaders.join(';'), payloadHash].join('\n'), 'latin1');
}

function headerValues({ raw: { rawHeaders } }: S3Request, name: string): string {
  const values: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(rawHeaders[i + 1]!.replace(/^[ \t]+|[ \t]+$/g, '').replace(/ +/g, ' ')); // trim() would also take 0xa0, half of a letter
  }
  return values.join(',');
}

function stringToSign(date: string, scope: string, canonical: Buffer): string {
  return `${ALGORITHM}\n${date}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`;
}

function deriveKey(secretKey: string, scope: Claim['scope']): Buffer {
  let key: Buffer | string = `AWS4${secretKey}`;
  for (const part of scope) key = createHmac('sha256', key).update(part).digest();
  return key as Buffer;
}

export function sign(signingKey: Buffer, text: string): string {
  return createHmac('sha256', signingKey).update(text).digest('hex');
}
