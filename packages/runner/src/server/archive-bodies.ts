/** Bodies of requests about archives. */
import type { ArchiveRequest, ObjectAccess, RestoreRequest } from '@paddock/contract';
import { fields, invalid, object, parseSpec, string, stringOrNull } from './validate.ts';

export function parseArchive(value: unknown): ArchiveRequest {
  return fields(object(value, 'the body'), { access }, ['access']) as unknown as ArchiveRequest;
}

export function parseRestore(value: unknown, id: string): RestoreRequest {
  const known = { spec: (spec: unknown) => parseSpec(spec, id), access, sha256 };
  return fields(object(value, 'the body'), known, ['spec', 'access', 'sha256']) as unknown as RestoreRequest;
}

function sha256(value: unknown, name: string): string {
  const text = string(value, name);
  return /^[0-9a-f]{64}$/.test(text) ? text : invalid(`\`${name}\` must be 64 hex digits`);
}

function access(value: unknown, name: string): ObjectAccess {
  const known = { endpoint, region: string, bucket: string, prefix, accessKey: string, secretKey: string, sessionToken: stringOrNull };
  return fields(object(value, name), known, Object.keys(known)) as unknown as ObjectAccess;
}

function endpoint(value: unknown, name: string): string {
  const text = string(value, name);
  return /^https?:\/\//.test(text) && URL.canParse(text) ? text : invalid(`\`${name}\` must be an http or https URL`);
}

/** An archive without a prefix of its own would be the whole bucket. */
function prefix(value: unknown, name: string): string {
  const text = string(value, name);
  return text.length > 1 && text.endsWith('/') ? text : invalid(`\`${name}\` must end with a slash`);
}
