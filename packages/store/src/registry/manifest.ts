import { RegistryError } from './errors.ts';
import { parseDigest, type Digest } from './names.ts';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

const IMAGES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const INDEXES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_LIST]);
/** Layers that clients fetch from elsewhere. */
const FOREIGN = /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/;
/** What clients announce they can take: 4 MiB of JSON. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Each is looked up when the manifest comes. Docker makes at most 127 layers; large indexes have some hundred entries. */
const MAX_REFERENCES = 4096;

/** What the registry has to know of a manifest. */
export interface Manifest {
  readonly mediaType: string;
  /** Config and layers. */
  readonly blobs: readonly Digest[];
  /** Manifests of an index. */
  readonly manifests: readonly Digest[];
  readonly subject: Digest | null;
  /** Of an artifact that refers to a subject: its own type, else that of its config. */
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>> | null;
}

/** @param contentType of the request, without parameters; null: the document says it */
export function parseManifest(bytes: Buffer, contentType: string | null): Manifest {
  const document = toObject(parsed(bytes));
  if (!document) throw invalid('it is no JSON object');
  const mediaType = mediaTypeOf(document, contentType);
  if (document['schemaVersion'] !== 2) throw invalid('schemaVersion must be 2');
  const isIndex = INDEXES.has(mediaType);
  const config = isIndex ? null : descriptor(document['config'], 'config');
  const layers = isIndex ? [] : descriptors(document['layers'], 'layers');
  const subject = document['subject'] === undefined || document['subject'] === null ? null : descriptor(document['subject'], 'subject').digest;
  const ownType = document['artifactType'];
  return {
    mediaType,
    blobs: config ? [config, ...layers].filter((part) => !part.elsewhere).map(({ digest }) => digest) : [],
    manifests: isIndex ? descriptors(document['manifests'], 'manifests').map(({ digest }) => digest) : [],
    subject,
    artifactType: typeof ownType === 'string' && ownType !== '' ? ownType : (config?.mediaType ?? null),
    annotations: annotationsOf(document['annotations']),
  };
}

/** The manifest of an index for clients that take none. @returns null: there is none for Linux on amd64 */
export function defaultOf(bytes: Buffer): Digest | null {
  const entries = toObject(parsed(bytes))?.['manifests'];
  for (const entry of Array.isArray(entries) ? entries : []) {
    const platform = toObject(toObject(entry)?.['platform']);
    if (platform?.['os'] === 'linux' && platform['architecture'] === 'amd64') return parseDigest(String(toObject(entry)?.['digest']));
  }
  return null;
}

export function isIndexType(mediaType: string): boolean {
  return INDEXES.has(mediaType);
}

function mediaTypeOf(document: Record<string, unknown>, contentType: string | null): string {
  const own = document['mediaType'];
  if (own !== undefined && typeof own !== 'string') throw invalid('mediaType must be a text');
  const mediaType = contentType ?? own;
  if (mediaType === undefined) throw invalid('neither Content-Type nor mediaType says what it is');
  if (own !== undefined && contentType !== null && own !== contentType) throw invalid(`Content-Type is ${contentType}, mediaType is ${own}`);
  if (!IMAGES.has(mediaType) && !INDEXES.has(mediaType)) {
    throw invalid(`this registry takes ${[...IMAGES, ...INDEXES].join(', ')}, not ${mediaType.slice(0, 100)}`);
  }
  return mediaType;
}

interface Descriptor {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly elsewhere: boolean;
}

function descriptor(value: unknown, where: string): Descriptor {
  const { mediaType, digest: text, size } = toObject(value) ?? {};
  const digest = typeof text === 'string' ? parseDigest(text) : null;
  if (!digest) throw invalid(`${where} needs a digest`);
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${where} needs a mediaType`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(`${where} needs a size`);
  return { digest, mediaType, elsewhere: FOREIGN.test(mediaType) };
}

function descriptors(value: unknown, where: string): Descriptor[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(`${where} must be a list`);
  if (value.length > MAX_REFERENCES) throw invalid(`${where} has more than ${MAX_REFERENCES} entries`);
  return value.map((entry, index) => descriptor(entry, `${where}[${index}]`));
}

function annotationsOf(value: unknown): Record<string, string> | null {
  const given = toObject(value);
  if (!given) return null;
  return Object.fromEntries(Object.entries(given).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

function toObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

function invalid(reason: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `The manifest is not valid: ${reason}` });
}
