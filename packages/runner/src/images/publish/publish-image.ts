/** Puts an image of this runner into a registry as a plain OCI image, its template disk as the topmost layer. */
import { createHash } from 'node:crypto';
import type { RegistryAuth } from '@paddock/contract';
import { HERE, RegistryPusher, parseReference, sameHost, writeConfig, type Descriptor, type RegistrySettings } from '../../registry-client/index.ts';
import type { RecordedConfig } from '../maker.ts';
import { MAX_ENTRIES } from '../unpack/unpack.ts';
import { LAYER_TYPE, type LayerBlob } from './layer-job.ts';
import { noteOfDisk, type Notes } from './notes.ts';
import { publishLayer } from './publish-layer.ts';

export interface LentImage {
  /** Topmost first. */
  readonly layers: ReadonlyArray<{ readonly name: string; readonly dir: string }>;
  readonly disk: { readonly name: string; readonly dir: string } | null;
  readonly config: RecordedConfig;
}

export interface PublishInput {
  readonly image: LentImage;
  /** `host/repository`. */
  readonly repository: string;
  readonly auth: RegistryAuth | null;
  readonly settings: RegistrySettings;
  readonly notes: Notes;
  readonly signal: AbortSignal;
  readonly onProgress: (tarBytes: number) => void;
}

export interface PublishedImage {
  /** `host/repository@sha256:…`. */
  readonly reference: string;
  /** Of all layers, as the registry has them. */
  readonly sizeBytes: number;
  /** Of those that it did not have before. */
  readonly sentBytes: number;
}

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

export async function publishImage(input: PublishInput): Promise<PublishedImage> {
  const { image, repository, auth, settings, signal } = input;
  const layers: LayerBlob[] = [];
  let sentBytes = 0;
  const parts = [...image.layers.toReversed(), ...(image.disk === null ? [] : [{ name: noteOfDisk(image.disk.name), dir: image.disk.dir }])];
  for (const part of parts) {
    const { blob, sent } = await publishPart(part, input);
    layers.push(blob);
    if (sent) sentBytes += blob.size;
  }
  const pusher = new RegistryPusher(repository, auth, settings, signal);
  const config = documentOf(CONFIG_TYPE, configOf(image.config, layers));
  await pusher.put(config.content, config.descriptor);
  const manifest = documentOf(MANIFEST_TYPE, {
    schemaVersion: 2, mediaType: MANIFEST_TYPE, config: config.descriptor,
    layers: layers.map(({ digest, size }): Descriptor => ({ mediaType: LAYER_TYPE, digest, size })),
  });
  await pusher.putManifest(manifest.content, manifest.descriptor);
  return { reference: `${repository}@${manifest.descriptor.digest}`, sizeBytes: layers.reduce((sum, { size }) => sum + size, 0), sentBytes };
}

/** What the registry has, or has elsewhere, is not read again. */
async function publishPart({ name, dir }: { readonly name: string; readonly dir: string }, input: PublishInput): Promise<{ blob: LayerBlob; sent: boolean }> {
  const { repository, auth, settings, notes, signal, onProgress } = input;
  const note = notes.get(name);
  if (note !== null) {
    const { host, repository: own } = parseReference(repository);
    const last = parseReference(note.repository);
    const from = sameHost(last.host, host) && last.repository !== own ? last.repository : undefined;
    const pusher = new RegistryPusher(repository, auth, settings, signal, { from });
    const descriptor = { mediaType: LAYER_TYPE, digest: note.digest, size: note.size };
    if ((await pusher.has(descriptor)) || (await pusher.mount(descriptor))) {
      notes.set(name, { ...note, repository });
      return { blob: note, sent: false };
    }
  }
  const blob = await publishLayer({ dir, repository, auth, settings, limits: { entries: MAX_ENTRIES } }, signal, onProgress);
  notes.set(name, { ...blob, repository });
  return { blob, sent: true };
}

function configOf(config: RecordedConfig, layers: readonly LayerBlob[]): object {
  return { ...HERE, config: writeConfig(config), rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) } };
}

function documentOf(mediaType: string, document: object): { readonly content: Buffer; readonly descriptor: Descriptor } {
  const content = Buffer.from(JSON.stringify(document));
  return { content, descriptor: { mediaType, digest: `sha256:${createHash('sha256').update(content).digest('hex')}`, size: content.length } };
}
