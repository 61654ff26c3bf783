/** Makes images of what registries have: layers side by side, each fetched, verified and unpacked as it comes in. */
import type { InspectedImage, PaddockConfig, RegistryAuth } from '@paddock/contract';
import { RegistryClient, RegistryError, parseReference, type Descriptor, type RegistryFailure, type ResolvedImage } from '../registry-client/index.ts';
import { RunnerError } from '../runner-error.ts';
import type { Disks } from '../types.ts';
import { repairImplied } from './implied.ts';
import { LayerTurns } from './layer-turns.ts';
import type { LayerInfo } from './layers.ts';
import { MakeFailed, type MadeImage, type MakeContext, type Maker, type SourceOf } from './maker.ts';
import { Counters, MAX_ENTRIES, pullLayer, verifyLayer, type LayerLimits, type PullInput } from './unpack/unpack.ts';
import type { Voucher } from './vouchers.ts';

export interface RegistryMakerSettings {
  readonly config: PaddockConfig['registries'];
  readonly disks: Pick<Disks, 'usage' | 'rebuild' | 'adoptTemplate' | 'dropRebuild' | 'templates'>;
}

/** What must stay free in the pool: running sandboxes write, too, and a pool without room for metadata turns read-only. */
const RESERVE_BYTES = 1024 ** 3;

/** How often progress is told and the pool's free space is looked at. */
const TICK_MS = 250;

/** Unpacking keeps up with the download; what is left at its end is little. */
const DOWNLOAD_SHARE = 0.95;

const MB = 1_000_000;
const GIB = 1024 ** 3;

/** A layer of nothing, for images that have none at all: an overlay needs one. */
const EMPTY_LAYER = 'empty';

interface Part {
  readonly blob: Descriptor;
  readonly diffId: string;
}

interface Pull {
  readonly source: SourceOf<'registry'>;
  readonly image: ResolvedImage;
  readonly client: RegistryClient;
  readonly limits: LayerLimits;
  readonly counters: Counters;
  readonly context: MakeContext;
}

export class RegistryMaker implements Maker<'registry'> {
  readonly #settings: RegistryMakerSettings;
  readonly #turns = new LayerTurns();

  constructor(settings: RegistryMakerSettings) {
    this.#settings = settings;
  }

  async make(source: SourceOf<'registry'>, context: MakeContext): Promise<MadeImage> {
    try {
      return await this.#make(source, context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      throw new MakeFailed(error.message, { transient: error.failure === 'unavailable', cause: error });
    }
  }

  async #make(source: SourceOf<'registry'>, context: MakeContext): Promise<MadeImage> {
    const { config } = this.#settings;
    context.log(`Looking up ${source.reference}\n`);
    const client = new RegistryClient(source.reference, source.auth, config, context.signal);
    const image = await client.resolve();
    const { document } = image;
    context.log(`${image.manifest.layers.length} layers, ${megabytes(image.sizeBytes)} MB compressed\n`);
    const pull = { source, image, client, limits: await this.#limits(image.sizeBytes, source.published !== undefined), counters: new Counters(), context };
    const stack = image.manifest.layers.map((blob, index): Part => ({ blob, diffId: document.diffIds[index]! }));
    const disk = source.published === 'disk' ? stack.pop() : undefined;
    if (source.published === 'disk' && disk === undefined) throw new MakeFailed('The published image has no layers');
    const { infos, twins, diskBytes } = await this.#parts(pull, stack, disk);
    // The same layer twice: whatever the lower one shows, the upper one shows, too.
    const names = [...new Set(stack.map(({ diffId }) => twins.get(diffId) ?? layerName(diffId)).reverse())];
    if (names.length === 0) {
      await context.layers.obtain(EMPTY_LAYER, async () => ({ sizeBytes: 0 }));
      names.push(EMPTY_LAYER);
    }
    const repair = await repairImplied(names, infos, context.layers);
    return {
      layers: repair === null ? names : [repair, ...names], disk: disk === undefined ? null : context.name,
      sizeBytes: [...infos.values()].reduce((sum, info) => sum + info.sizeBytes, diskBytes),
      config: document.config,
      origin: { reference: image.reference },
    };
  }

  /**
   * Layers by name, those that have another one than their diffID says, and the disk if there is one. One that fails ends the others; all have ended when this returns. A layer that is there
   * already, or that another pull makes in the meantime, is taken without its bytes only on a voucher; see vouchers.ts.
   */
  async #parts({ source, image, client, limits, counters, context }: Pull, stack: readonly Part[], disk: Part | undefined): Promise<{ infos: Map<string, LayerInfo>; twins: Map<string, string>; diskBytes: number }> {
    const failed = new AbortController();
    const signal = AbortSignal.any([context.signal, failed.signal]);
    const infos = new Map<string, LayerInfo>();
    const twins = new Map<string, string>();
    const { host, repository } = parseReference(image.reference);
    let present = 0;
    const stopWatching = this.#watch(() => counters.downloaded + present, image.sizeBytes, context, (error) => failed.abort(error));
    const inputOf = ({ blob, diffId }: Part) => ({
      diffId, signal, limits, counters,
      source: { kind: 'registry', reference: image.reference, auth: source.auth, settings: this.#settings.config, authorizations: client.authorizations, blob } as const,
    });
    const layer = async (part: Part): Promise<void> => {
      const { blob, diffId } = part;
      const twin = context.layers.twin({ ...blob, diffId }, host);
      if (twin !== null && twin !== layerName(diffId) && await client.offers(blob)) {
        twins.set(diffId, twin);
        infos.set(twin, await context.layers.obtain(twin, () => Promise.reject(new Error(`The layer ${twin} is missing`))));
        present += blob.size;
        context.log(`${diffId.slice(0, 19)} was published here (${megabytes(blob.size)} MB)\n`);
        return;
      }
      const name = layerName(diffId);
      const voucher: Voucher = { host, blob: blob.digest, sizeBytes: blob.size };
      const input = inputOf(part);
      let made = false;
      const info = await context.layers.obtain(name, async (dir) => {
        made = true;
        const pulled = await this.#turns.run(signal, () => pullLayer({ ...input, dir }));
        // Before the layer is there, so that pulls that wait for it find it.
        context.layers.vouch(name, voucher);
        return pulled;
      }, `${host} ${blob.digest}`);
      const reused = !made && context.layers.isVouched(name, voucher) && await client.offers(blob);
      if (!made && !reused) {
        await this.#turns.run(signal, () => verifyLayer(input));
        context.layers.vouch(name, voucher);
      }
      infos.set(name, info);
      if (source.published !== undefined) context.layers.noteBlob(name, { diffId, digest: blob.digest, size: blob.size }, `${host}/${repository}`);
      if (reused) present += blob.size;
      context.log(`${diffId.slice(0, 19)} ${reused ? 'is there already' : 'fetched'} (${megabytes(blob.size)} MB)\n`);
    };
    // The same content twice is proven once.
    const distinct = new Map<string, Part>();
    for (const part of stack) {
      if (distinct.has(part.diffId)) present += part.blob.size;
      else distinct.set(part.diffId, part);
    }
    let diskBytes = 0;
    const works = [...[...distinct.values()].map(layer), ...(disk === undefined ? [] : [this.#disk(context, inputOf(disk), signal).then((bytes) => { diskBytes = bytes; })])];
    try {
      await Promise.allSettled(works.map((work) => work.catch((error: unknown) => failed.abort(error))));
      signal.throwIfAborted();
      return { infos, twins, diskBytes };
    } finally {
      if (disk !== undefined && signal.aborted) await this.#settings.disks.templates.destroy(context.name);
      stopWatching();
    }
  }

  /** A template disk of the image's own, which nobody else shares. @returns its bytes */
  async #disk({ name, log }: MakeContext, input: Omit<PullInput, 'dir'>, signal: AbortSignal): Promise<number> {
    const { disks } = this.#settings;
    try {
      const dir = await disks.rebuild(name, input.source.blob.size);
      await this.#turns.run(signal, () => pullLayer({ ...input, dir }));
      const bytes = await disks.adoptTemplate(name);
      log(`${input.diffId.slice(0, 19)} fetched as the disk (${megabytes(input.source.blob.size)} MB)\n`);
      return bytes;
    } finally {
      await disks.dropRebuild(name);
    }
  }

  /** What the image may take: the setting, or less where the pool has no such room. @param own of this installation: it was there before */
  async #limits(compressedBytes: number, own: boolean): Promise<LayerLimits> {
    const room = await this.#room();
    if (room < compressedBytes) throw new MakeFailed(`The image has ${megabytes(compressedBytes)} MB compressed and the runner's storage has room for ${megabytes(Math.max(room, 0))} MB: remove what is not needed, or give it more space`);
    const setting = this.#settings.config.imageLimitGiB * GIB;
    return { bytes: own ? room : Math.min(setting, room), entries: own ? Infinity : MAX_ENTRIES };
  }

  async #room(): Promise<number> {
    const { totalBytes, usedBytes } = await this.#settings.disks.usage();
    return totalBytes - usedBytes - RESERVE_BYTES;
  }

  #watch(downloaded: () => number, total: number, { progress, signal }: MakeContext, onFull: (error: Error) => void): () => void {
    const tick = async (): Promise<void> => {
      const bytes = Math.min(downloaded(), total);
      const text = bytes < total ? `Downloading ${megabytes(bytes)} of ${megabytes(total)} MB` : 'Unpacking';
      if (!signal.aborted) progress({ fraction: total === 0 ? DOWNLOAD_SHARE : (bytes / total) * DOWNLOAD_SHARE, text });
      if (await this.#room() < 0) onFull(Object.assign(new Error('the pool is full'), { code: 'ENOSPC' }));
    };
    const timer = setInterval(() => void tick().catch(onFull), TICK_MS);
    return () => clearInterval(timer);
  }
}

/** A lookup on behalf of somebody who waits ends after this. */
const INSPECT_MS = 25_000;
const INSPECT_ATTEMPTS = 2;

const INSPECT_CODES: Readonly<Record<RegistryFailure, 'IMAGE_NOT_FOUND' | 'REGISTRY_FAILED' | 'REGISTRY_UNAVAILABLE'>> = {
  'not-found': 'IMAGE_NOT_FOUND', refused: 'REGISTRY_FAILED', invalid: 'REGISTRY_FAILED', unavailable: 'REGISTRY_UNAVAILABLE',
};

/** `POST /v1/registry/inspect`. */
export async function inspect(config: PaddockConfig['registries'], reference: string, auth: RegistryAuth | null, signal: AbortSignal): Promise<InspectedImage> {
  const limit = AbortSignal.timeout(INSPECT_MS);
  try {
    return await new RegistryClient(reference, auth, config, AbortSignal.any([signal, limit]), { attempts: INSPECT_ATTEMPTS }).inspect();
  } catch (error) {
    if (limit.aborted) throw new RunnerError('REGISTRY_UNAVAILABLE', `The registry of ${reference} did not answer within ${INSPECT_MS / 1_000} seconds`, error);
    if (error instanceof RegistryError) throw new RunnerError(INSPECT_CODES[error.failure], error.message, error);
    throw error;
  }
}

function layerName(diffId: string): string {
  return diffId.replace(':', '-');
}

function megabytes(bytes: number): number {
  return bytes < 10 * MB ? Math.round(bytes / MB * 10) / 10 : Math.round(bytes / MB);
}
