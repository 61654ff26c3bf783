/** The images of one runner: made by makers, kept as records over shared layers, gone when neither the control plane nor a sandbox needs them. */
import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ImageSource, type RunnerImage } from '@paddock/contract';
import { RunnerError } from '../runner-error.ts';
import type { PooledDisks, StorageLog } from '../storage/index.ts';
import { listMounts, syncFileSystemOf, unmountAll } from '../sys/index.ts';
import type { Image } from '../types.ts';
import { NOTHING, loadImage, shownImage } from './image.ts';
import { ImageLogs } from './image-log.ts';
import { ImageRecords, bootId, type ImageRecord } from './image-records.ts';
import { layerAccess } from './layer-access.ts';
import { Layers, type LayerHold } from './layers.ts';
import { MakeFailed, type MadeImage, type Maker, type TemplateDisks } from './maker.ts';
import type { Progress } from './progress.ts';
import { Lending } from './lending.ts';
import type { LentImage, Notes } from './publish/index.ts';

export interface ImagesInput {
  readonly disks: PooledDisks;
  readonly log: StorageLog;
  /** Called with every change of an image's state; progress at most every PROGRESS_MS. */
  readonly onChange: (image: RunnerImage) => void;
  /** Disks that images name; null: this pool has none. */
  readonly templates?: TemplateDisks | null;
}

/** Among the layers, as only what is made there has the inode numbers of layers. Names with a dot are no layers. */
const MAKINGS = '.builds';

/** Fast enough for a progress bar, slow enough for a log. */
const PROGRESS_MS = 200;

/** Layers of an image whose making failed for a passing cause stay this long, so that the next try goes on from them. */
const KEPT_FOR_RETRY_MS = 10 * 60_000;

/** Why a making was aborted; neither is a failure of the image. */
const DELETED = new MakeFailed('The image was deleted meanwhile');
/** Whoever deletes it may want it again. */
const ENDED = new MakeFailed('The image was deleted while it was read', { transient: true });
const STOPPING = new MakeFailed('The runner stopped meanwhile', { transient: true });

interface Stored {
  readonly record: ImageRecord;
  readonly image: Image;
}

interface Making {
  readonly abort: AbortController;
  /** Never rejects. */
  readonly done: Promise<void>;
}

export class Images {
  readonly #input: ImagesInput;
  readonly #makers = new Map<ImageSource['kind'], Maker<ImageSource['kind']>>();
  readonly #records: ImageRecords;
  readonly #logs: ImageLogs;
  readonly #layers: Layers;
  readonly #makingsDir: string;
  readonly #ready = new Map<string, Stored>();
  readonly #unready = new Map<string, RunnerImage>();
  readonly #makings = new Map<string, Making>();
  readonly #lending = new Lending();
  readonly #kept = new Map<string, { readonly hold: LayerHold; readonly timer: NodeJS.Timeout }>();
  /** Puts and removals of one image take turns. */
  readonly #lanes = new Map<string, Promise<unknown>>();
  /** Names of images that sandboxes stand on; null: not known of all of them, so any may be needed. */
  #inUse: () => ReadonlySet<string> | null = () => null;
  /** A record that cannot be read may name any layer. */
  #blind = false;
  #collecting: Promise<void> = Promise.resolve();
  readonly #flushing = new Set<Promise<void>>();
  #closed = false;

  constructor(input: ImagesInput) {
    this.#input = input;
    this.#records = new ImageRecords(join(input.disks.poolDir, 'images'));
    this.#logs = new ImageLogs(join(input.disks.poolDir, 'image-logs'));
    this.#layers = new Layers(input.disks.layersDir);
    this.#makingsDir = join(input.disks.layersDir, MAKINGS);
  }

  register<Kind extends ImageSource['kind']>(kind: Kind, maker: Maker<Kind>): void {
    this.#makers.set(kind, maker as unknown as Maker<ImageSource['kind']>);
  }

  /** @param inUse see the field: asked whenever something may go */
  needs(inUse: () => ReadonlySet<string> | null): void {
    this.#inUse = inUse;
  }

  /** Loads the records and removes what makings that did not finish have left. Layers go with the first `collect`. */
  async open(): Promise<void> {
    mkdirSync(this.#makingsDir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#makingsDir)) await this.#discard(name);
    await this.#layers.open();
    const { records, unreadable } = this.#records.readAll();
    for (const file of unreadable) this.#lost(file, new Error('it cannot be read'));
    for (const record of records) {
      if ('failed' in record) {
        this.#unready.set(record.name, failedImage(record.name, record.failed));
        continue;
      }
      if (record.unflushed !== undefined && record.unflushed !== bootId()) {
        this.#input.log.warn({ image: record.name }, 'the machine stopped before an image was on disk; it will be made again');
        await this.#records.remove(record.name);
        continue;
      }
      try {
        for (const layer of record.layers) this.#layers.adopt(layer, record.layerInfo?.[layer] ?? { sizeBytes: record.sizeBytes });
        this.#ready.set(record.name, { record, image: this.#load(record) });
        if (record.unflushed !== undefined) this.#flush(record.name);
      } catch (error) {
        this.#lost(record.name, error);
      }
    }
    this.#logs.open(new Set([...this.#ready.keys(), ...this.#unready.keys()]));
  }

  /** A ready image that new sandboxes may use. */
  get(name: string): Image | null {
    const stored = this.#ready.get(name);
    return stored === undefined || stored.record.hidden === true ? null : stored.image;
  }

  /** A ready image for a sandbox that was made from it, also one that is deleted for everybody else. */
  ofSandbox(name: string): Image | null {
    return this.#ready.get(name)?.image ?? null;
  }

  list(): RunnerImage[] {
    const ready = [...this.#ready.values()].filter(({ record }) => record.hidden !== true).map(({ record }) => shownImage(record));
    return [...ready, ...this.#unready.values()];
  }

  find(name: string): RunnerImage | null {
    const stored = this.#ready.get(name);
    if (stored !== undefined && stored.record.hidden !== true) return shownImage(stored.record);
    return this.#unready.get(name) ?? null;
  }

  /** Has the image made unless it is there or being made. A failed one is tried again. @returns how it stands */
  put(name: string, source: ImageSource): Promise<RunnerImage> {
    return this.#inTurn(name, async () => {
      const stored = this.#ready.get(name);
      if (stored !== undefined) {
        if (stored.record.hidden === true) await this.#save({ ...stored.record, hidden: false });
        return this.find(name)!;
      }
      // Work that has failed and told so only tidies up; whoever heard it may ask again at once.
      if (this.#unready.get(name)?.state === 'failed') await this.#makings.get(name)?.done;
      if (!this.#makings.has(name)) this.#start(name, source);
      return this.find(name)!;
    });
  }

  /** Nobody new may use it; its content goes when the last sandbox on it does. Returns when work on it has ended. */
  remove(name: string): Promise<void> {
    this.#makings.get(name)?.abort.abort(DELETED);
    const returned = this.#lending.end(name, ENDED);
    const removal = this.#inTurn(name, async () => {
      const making = this.#makings.get(name);
      making?.abort.abort(DELETED);
      await making?.done;
      await returned;
      await this.#lending.end(name, ENDED);
      this.#forgetKept(name);
      this.#unready.delete(name);
      const stored = this.#ready.get(name);
      if (stored !== undefined) await this.#save({ ...stored.record, hidden: true });
      else await this.#erase(name);
    });
    return removal.then(() => this.collect());
  }

  /** Removes deleted images that no sandbox needs any more, then layers and template disks that no image needs. */
  collect(): Promise<void> {
    this.#collecting = this.#collecting.then(() => this.#collect()).catch((error: unknown) => this.#input.log.warn({ err: error }, 'unused layers could not be removed'));
    return this.#collecting;
  }

  /** Text that making the image printed. @returns null when there is no such image */
  log(name: string, follow: boolean, signal: AbortSignal): AsyncIterable<Buffer> | null {
    return this.find(name) === null ? null : this.#logs.read(name, follow, signal);
  }

  /** Of what was published of layers and disks. */
  get notes(): Notes {
    return this.#layers.notes;
  }

  /**
   * Lends a ready image: its files stay as they are until the work ends. The work is aborted when the image is deleted or the runner stops.
   * @throws RunnerError IMAGE_NOT_FOUND
   */
  lend<T>(name: string, signal: AbortSignal, work: (image: LentImage, signal: AbortSignal) => Promise<T>): Promise<T> {
    const record = this.get(name) === null ? null : this.#ready.get(name)!.record;
    if (record === null || this.#closed) throw new RunnerError('IMAGE_NOT_FOUND', `There is no image "${name}" on this runner that could be published`);
    const { disk = null } = record;
    const lent: LentImage = {
      layers: record.layers.map((layer) => ({ name: layer, dir: this.#layers.path(layer) })),
      disk: disk === null ? null : { name: disk, dir: this.#input.templates!.upper(disk) },
      config: { ...NOTHING, ...record.config },
    };
    return this.#lending.run(name, signal, (lentSignal) => work(lent, lentSignal));
  }

  /** Resolves when nobody works on the image, whatever came of it. */
  async settled(name: string): Promise<void> {
    await this.#makings.get(name)?.done;
  }

  /** Ends makings in progress; whoever wants their images asks the next runner again. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { abort } of this.#makings.values()) abort.abort(STOPPING);
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
    await this.#lending.close(STOPPING);
    await Promise.all([...this.#makings.values()].map(({ done }) => done));
    await this.#collecting;
    await Promise.all(this.#flushing);
  }

  #start(name: string, source: ImageSource): void {
    const maker = this.#makers.get(source.kind);
    if (maker === undefined) throw new RunnerError('INVALID_SPEC', `This runner makes no images of the kind "${source.kind}"`);
    if (this.#closed) throw new RunnerError('IMAGE_NOT_READY', 'The runner is stopping');
    this.#unready.set(name, { name, state: 'preparing', sizeBytes: null, progress: { fraction: 0, text: 'Starting' } });
    const abort = new AbortController();
    const done = this.#make(name, source, maker, abort.signal).finally(() => this.#makings.delete(name));
    this.#makings.set(name, { abort, done });
  }

  async #make(name: string, source: ImageSource, maker: Maker<ImageSource['kind']>, signal: AbortSignal): Promise<void> {
    const since = performance.now();
    const log = this.#logs.write(name);
    const hold = this.#layers.hold();
    const workDir = join(this.#makingsDir, name);
    const report = this.#reporter(name);
    report({ fraction: 0, text: 'Starting' });
    try {
      await this.#discard(name);
      mkdirSync(workDir, { mode: 0o700 });
      const made = await maker.make(source, {
        name, signal, workDir, log: (text) => log.add(text), progress: report, layers: layerAccess({ layers: this.#layers, hold, workDir, signal, recordOf: (image) => this.#ready.get(image)?.record ?? null }),
      });
      signal.throwIfAborted();
      report({ fraction: 0.99, text: 'Storing the image' });
      await this.#store(name, made);
      hold.release();
      this.#forgetKept(name);
      log.end();
      this.#input.onChange(this.find(name)!);
      this.#input.log.info({ image: name, kind: source.kind, sizeBytes: made.sizeBytes, ms: Math.round(performance.now() - since) }, 'image made');
    } catch (error) {
      if (signal.aborted) log.add(`${(signal.reason as Error).message}\n`);
      else await this.#failed(name, source, error as Error, hold);
      log.end();
      if (this.#kept.get(name)?.hold !== hold) hold.release();
    } finally {
      await this.#discard(name).catch((error: unknown) => this.#input.log.warn({ image: name, err: error }, 'the directory of a making could not be removed'));
    }
    if (!this.#ready.has(name)) void this.collect();
  }

  /** Ready as soon as the layers are whole. Flushing them takes as long as the device does and goes on by itself. */
  async #store(name: string, made: MadeImage): Promise<void> {
    const layerInfo = Object.fromEntries(made.layers.map((layer) => [layer, this.#layers.info(layer)!]));
    await this.#save({ name, ...made, layerInfo, unflushed: bootId() });
    this.#unready.delete(name);
    this.#flush(name);
  }

  /** The layers are on disk before the record says so. */
  #flush(name: string): void {
    const flushing = syncFileSystemOf(this.#input.disks.layersDir).then(() => this.#inTurn(name, async () => {
      const stored = this.#ready.get(name);
      if (stored?.record.unflushed === undefined) return;
      const { unflushed: _, ...record } = stored.record;
      await this.#save(record);
    })).catch((error: unknown) => this.#input.log.warn({ image: name, err: error }, 'an image could not be flushed to the device; after a power failure it will be made again'))
      .finally(() => this.#flushing.delete(flushing));
    this.#flushing.add(flushing);
  }

  async #save(record: ImageRecord): Promise<void> {
    const image = this.#load(record);
    await this.#records.write(record);
    this.#ready.set(record.name, { record, image });
  }

  #load(record: ImageRecord): Image {
    const layers = record.layers.map((layer) => this.#layers.path(layer));
    return loadImage(record, layers, record.disk == null ? null : this.#input.templates!.upper(record.disk));
  }

  async #failed(name: string, source: ImageSource, error: Error, hold: LayerHold): Promise<void> {
    const failure = { reason: reasonOf(error), transient: error instanceof MakeFailed && error.transient };
    const unexpected = error instanceof MakeFailed || isNoSpace(error) ? {} : { err: error };
    this.#input.log.warn({ image: name, kind: source.kind, reason: failure.reason, ...unexpected }, 'image could not be made');
    this.#forgetKept(name);
    if (failure.transient) {
      const timer = setTimeout(() => {
        this.#forgetKept(name);
        void this.collect();
      }, KEPT_FOR_RETRY_MS).unref();
      this.#kept.set(name, { hold, timer });
    }
    await this.#records.write({ name, failed: failure }).catch((cause: unknown) => this.#input.log.warn({ image: name, err: cause }, 'the failure could not be recorded'));
    const image = failedImage(name, failure);
    this.#unready.set(name, image);
    this.#input.onChange(image);
  }

  #forgetKept(name: string): void {
    const kept = this.#kept.get(name);
    if (kept === undefined) return;
    clearTimeout(kept.timer);
    this.#kept.delete(name);
    kept.hold.release();
  }

  async #collect(): Promise<void> {
    for (const [name, { record }] of [...this.#ready]) {
      if (record.hidden === true) await this.#inTurn(name, () => this.#eraseUnused(name));
    }
    if (this.#blind) return;
    const records = [...this.#ready.values()].map(({ record }) => record);
    const named = new Set([...records.flatMap(({ disk }) => disk ?? []), ...this.#makings.keys()]);
    await this.#layers.collect(new Set(records.flatMap(({ layers }) => layers)), named);
    const { templates } = this.#input;
    if (templates == null) return;
    for (const disk of await templates.list()) if (!named.has(disk) && !this.#makings.has(disk)) await templates.destroy(disk);
  }

  async #eraseUnused(name: string): Promise<void> {
    const inUse = this.#inUse();
    if (inUse === null || inUse.has(name) || this.#ready.get(name)?.record.hidden !== true) return;
    await this.#erase(name);
  }

  async #erase(name: string): Promise<void> {
    this.#ready.delete(name);
    await this.#records.remove(name);
    this.#logs.remove(name);
  }

  #lost(what: string, error: unknown): void {
    this.#blind = true;
    this.#input.log.warn({ record: what, err: error }, 'an image record is not usable; the image will be made again');
  }

  #reporter(name: string): (progress: Progress) => void {
    let reportedAt = -Infinity;
    let highest = 0;
    return ({ fraction, text }) => {
      highest = Math.max(highest, Math.min(fraction, 1));
      const image: RunnerImage = { name, state: 'preparing', sizeBytes: null, progress: { fraction: highest, text } };
      this.#unready.set(name, image);
      const now = performance.now();
      if (now - reportedAt < PROGRESS_MS) return;
      reportedAt = now;
      this.#input.onChange(image);
    };
  }

  #inTurn<T>(name: string, run: () => Promise<T>): Promise<T> {
    const turn = (this.#lanes.get(name) ?? Promise.resolve()).then(run);
    const settled = turn.then(() => undefined, () => undefined).finally(() => {
      if (this.#lanes.get(name) === settled) this.#lanes.delete(name);
    });
    this.#lanes.set(name, settled);
    return turn;
  }

  /** Removes a making's directory, also one that an earlier runner of this mount namespace left mounted. */
  async #discard(name: string): Promise<void> {
    const dir = join(this.#makingsDir, name);
    for (const { target } of listMounts().reverse()) if (target.startsWith(`${dir}/`)) unmountAll(target);
    await rm(dir, { recursive: true, force: true });
  }
}

function failedImage(name: string, { reason, transient }: { readonly reason: string; readonly transient: boolean }): RunnerImage {
  return { name, state: 'failed', sizeBytes: null, reason, ...(transient ? { transient } : {}) };
}

function isNoSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as { code?: string }).code ?? '');
}

function reasonOf(error: Error): string {
  if (isNoSpace(error)) return 'The runner\'s storage is full: remove sandboxes, snapshots or images that are not needed, or give it more space';
  return error.message;
}
