/**
 * Base images for buildah without copying a byte: an additional image store of containers/storage whose layers are mounts of
 * the pool's. A base is one layer there however many it has here, so that what overlayfs keeps in its own attributes (opaque
 * directories) is worked out by the mount that the runner makes, whose privileges can read them.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordedConfig } from '../images/index.ts';
import { writeConfig } from '../registry-client/index.ts';

export interface BaseImage {
  /** For people: with variables replaced. */
  readonly reference: string;
  /** As the Dockerfile has it. */
  readonly written: string;
  /** Names of layers, topmost first. */
  readonly layers: readonly string[];
  readonly config: RecordedConfig;
}

export interface StoredBase {
  readonly base: BaseImage;
  /** What it is called inside. */
  readonly name: string;
  /** 64 hex digits: id and diffID of its one layer. */
  readonly layer: string;
  /** Where the tree of its layers has to be mounted, relative to the store. */
  readonly mountPoint: string;
}

/** containers/storage finds a layer by a short name, too: 26 capitals or digits. */
const LINK_DIGITS = 26;

/** Too many for two bases to share them. */
const NAME_DIGITS = 32;

const EPOCH = '1970-01-01T00:00:00Z';

/** @param dir empty directory that becomes the store @param architecture as images call it */
export function writeBaseStore(dir: string, bases: readonly BaseImage[], architecture: string): readonly StoredBase[] {
  for (const name of ['overlay/l', 'overlay-images', 'overlay-layers']) mkdirSync(join(dir, name), { recursive: true });
  const images = new Map<string, { readonly names: string[]; readonly record: object }>();
  const layers = new Map<string, object>();
  const stored = bases.map((base): StoredBase => {
    const layer = sha256(JSON.stringify(base.layers));
    if (!layers.has(layer)) {
      writeLayer(dir, layer);
      layers.set(layer, { id: layer, created: EPOCH, 'compressed-diff-digest': `sha256:${layer}`, 'diff-digest': `sha256:${layer}`, 'diff-size': 1, compression: 0 });
    }
    const image = imageOf(base, layer, architecture);
    // buildah may note a base under its name in the store that stays: a name stands for one content in all builds.
    const name = `localhost/base:${image.id.slice(0, NAME_DIGITS)}`;
    if (!images.has(image.id)) images.set(image.id, { names: [name], record: writeImage(dir, image, layer) });
    return { base, name, layer, mountPoint: `overlay/${layer}/diff` };
  });
  // Locks are opened even where nothing is ever written.
  for (const kind of ['images', 'layers']) writeFileSync(join(dir, `overlay-${kind}`, `${kind}.lock`), '');
  writeFileSync(join(dir, 'overlay-layers/layers.json'), JSON.stringify([...layers.values()]));
  writeFileSync(join(dir, 'overlay-images/images.json'), JSON.stringify([...images.values()].map(({ names, record }) => ({ ...record, names }))));
  return stored;
}

function writeLayer(dir: string, layer: string): void {
  const link = layer.slice(0, LINK_DIGITS).toUpperCase();
  mkdirSync(join(dir, 'overlay', layer, 'diff'), { recursive: true });
  writeFileSync(join(dir, 'overlay', layer, 'link'), link);
  symlinkSync(`../${layer}/diff`, join(dir, 'overlay/l', link));
}

interface Documents {
  readonly id: string;
  readonly config: string;
  readonly manifest: string;
}

/**
 * The same base has the same id in every build. The layer cache takes images for the same whose histories and layers agree, whatever their
 * configurations say, so the history holds the configuration.
 */
function imageOf({ config, layers }: BaseImage, layer: string, architecture: string): Documents {
  const text = JSON.stringify({
    architecture, os: 'linux', created: EPOCH,
    config: writeConfig(config),
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    history: [{ created: EPOCH, created_by: `${layers.length} layers with ${sha256(JSON.stringify(config))}` }],
  });
  const id = sha256(text);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${id}`, size: Buffer.byteLength(text) },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${layer}`, size: 1 }],
  });
  return { id, config: text, manifest };
}

function writeImage(dir: string, { id, config, manifest }: Documents, layer: string): object {
  const manifestDigest = `sha256:${sha256(manifest)}`;
  const data: ReadonlyArray<readonly [key: string, text: string]> = [[`sha256:${id}`, config], [`manifest-${manifestDigest}`, manifest], ['manifest', manifest]];
  const home = join(dir, 'overlay-images', id);
  mkdirSync(home);
  // Keys that are no plain words are file names in base64.
  for (const [key, text] of data) writeFileSync(join(home, /^[a-z]+$/.test(key) ? key : `=${Buffer.from(key).toString('base64')}`), text);
  return {
    id, digest: manifestDigest, layer, created: EPOCH,
    'big-data-names': data.map(([key]) => key),
    'big-data-sizes': Object.fromEntries(data.map(([key, text]) => [key, Buffer.byteLength(text)])),
    'big-data-digests': Object.fromEntries(data.map(([key, text]) => [key, `sha256:${sha256(text)}`])),
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
