/** Manifests of images: which of a list is for this machine, and what a configuration says. */
import { arch } from 'node:os';
import { RegistryError } from './errors.ts';
import { readConfig, type WrittenConfig } from './image-config.ts';
import { DIGEST } from './reference.ts';

/** Everything a registry may answer for an image. */
export const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface Manifest {
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
}

export interface ImageDocument {
  /** `sha256:<hex>` of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
  readonly config: WrittenConfig;
}

export interface Platform {
  readonly os: 'linux';
  readonly architecture: string;
}

/** GOARCH of this machine. */
export const HERE: Platform = { os: 'linux', architecture: arch() === 'x64' ? 'amd64' : arch() };

/** Overlayfs stacks 500 layers, and one more may be needed on top. */
const MAX_LAYERS = 498;
const MAX_ENTRIES = 1_000;
/** A descriptor's size may be anything; sums stay exact below this. */
const MAX_SIZE = 2 ** 48;

export const CONFIG_LIMIT = 8 * 1024 ** 2;

/** The variant that every processor of the architecture is. */
const PLAIN: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8' };

type Json = Readonly<Record<string, unknown>>;

/** @returns a manifest, or the descriptor of the one in a list that is for the platform */
export function parseManifest(body: Buffer, contentType: string, who: string, platform: Platform = HERE): Manifest | Descriptor {
  const document = parse(body, who);
  const type = typeof document['mediaType'] === 'string' ? document['mediaType'] : contentType.split(';')[0]!.trim();
  if (document['schemaVersion'] === 1 || /manifest\.v1\+/.test(type) && type.includes('docker')) {
    throw new RegistryError('invalid', `${who} is in Docker's old manifest format (schema 1), which carries no verifiable layers: push it again with a current tool`);
  }
  if (document['schemaVersion'] !== 2) throw new RegistryError('invalid', `${who} has no manifest that is understood`);
  if (Array.isArray(document['manifests'])) return choose(document['manifests'], who, platform);
  const config = descriptor(document['config'], who);
  if (!/^application\/vnd\.(?:oci\.image\.config\.v1|docker\.container\.image\.v1)\+json$/.test(config.mediaType)) {
    throw new RegistryError('invalid', `${who} is no image but an artifact of the type ${JSON.stringify(config.mediaType.slice(0, 100))}`);
  }
  if (config.size > CONFIG_LIMIT) throw new RegistryError('invalid', `${who} has a configuration of ${config.size} bytes; ${CONFIG_LIMIT} are the most`);
  const layers = list(document['layers'], who).map((layer) => descriptor(layer, who));
  if (layers.length > MAX_LAYERS) throw new RegistryError('invalid', `${who} has ${layers.length} layers; ${MAX_LAYERS} are the most that can be stacked`);
  for (const { mediaType } of layers) checkLayerType(mediaType, who);
  return { config, layers };
}

export function parseConfig(body: Buffer, manifest: Manifest, who: string, platform: Platform = HERE): ImageDocument {
  const document = parse(body, who);
  const { os, architecture } = document as { os?: unknown; architecture?: unknown };
  if ((os !== undefined && os !== platform.os) || (architecture !== undefined && architecture !== '' && architecture !== platform.architecture)) {
    throw new RegistryError('invalid', `${who} is for ${String(os)}/${String(architecture)}; this machine is ${platform.os}/${platform.architecture}`);
  }
  const diffIds = strings((document['rootfs'] as Json | undefined)?.['diff_ids']) ?? [];
  if (diffIds.length !== manifest.layers.length || !diffIds.every((id) => DIGEST.test(id))) {
    throw new RegistryError('invalid', `${who} has ${manifest.layers.length} layers, but its configuration vouches for ${diffIds.length}`);
  }
  const config = readConfig(document['config']);
  if (config === null) throw new RegistryError('invalid', `${who} has more than a MiB of labels, environment and the like`);
  return { diffIds, config };
}

function choose(entries: readonly unknown[], who: string, platform: Platform): Descriptor {
  if (entries.length > MAX_ENTRIES) throw new RegistryError('invalid', `${who} is a list of more than ${MAX_ENTRIES} manifests`);
  const offered: string[] = [];
  const fitting: Array<{ readonly entry: unknown; readonly plain: boolean }> = [];
  for (const entry of entries) {
    const { os, architecture, variant } = ((entry as Json | null)?.['platform'] ?? {}) as Json;
    if (os === platform.os && architecture === platform.architecture) fitting.push({ entry, plain: typeof variant !== 'string' || ['', PLAIN[platform.architecture]].includes(variant) });
    else if (typeof os === 'string' && os !== 'unknown') offered.push([os, architecture, variant].filter((part) => typeof part === 'string').join('/'));
  }
  // Those for some processors only come last: this machine's need not be one of them.
  const [first = null] = [...fitting.filter(({ plain }) => plain), ...fitting];
  if (first !== null) return descriptor(first.entry, who);
  // A list with one entry that says nothing of platforms is that entry.
  const [only] = entries;
  if (entries.length === 1 && (only as Json | null)?.['platform'] === undefined) return descriptor(only, who);
  throw new RegistryError('invalid', `${who} is not there for ${platform.os}/${platform.architecture}; it is for ${offered.slice(0, 20).join(', ') || 'nothing that is known'}`);
}

function descriptor(value: unknown, who: string): Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Json;
  const valid = typeof mediaType === 'string' && typeof digest === 'string' && DIGEST.test(digest) && Number.isSafeInteger(size) && (size as number) >= 0 && (size as number) <= MAX_SIZE;
  if (!valid) throw new RegistryError('invalid', `${who} has a manifest with a descriptor that is wrong`);
  return { mediaType, digest, size: size as number };
}

function checkLayerType(mediaType: string, who: string): void {
  if (/\+encrypted$/.test(mediaType)) throw new RegistryError('invalid', `${who} has encrypted layers, which are not supported`);
  if (/\.foreign\./.test(mediaType)) throw new RegistryError('invalid', `${who} has layers that are kept elsewhere (${mediaType}), which are not supported`);
  if (!/^application\/vnd\.(?:docker\.image\.rootfs\.diff\.tar|oci\.image\.layer\.(?:nondistributable\.)?v1\.tar)(?:[.+](?:gzip|zstd))?$/.test(mediaType)) {
    throw new RegistryError('invalid', `${who} has a layer of the unknown type ${JSON.stringify(mediaType.slice(0, 100))}`);
  }
}

function parse(body: Buffer, who: string): Json {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // judged below
  }
  throw new RegistryError('invalid', `${who}: the registry answered with something that is no JSON object`);
}

function list(value: unknown, who: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new RegistryError('invalid', `${who} has a manifest without layers`);
  return value;
}

function strings(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string' && !item.includes('\0')) ? value as string[] : null;
}
