/** What turns an ImageSource into an image: one maker a kind. Store and makers meet here and nowhere else. */
import type { ImageSource } from '@paddock/contract';
import type { ImageConfig } from '../types.ts';
import type { LayerInfo } from './layers.ts';
import type { Progress } from './progress.ts';
import type { Voucher } from './vouchers.ts';

export type SourceOf<Kind extends ImageSource['kind']> = Extract<ImageSource, { kind: Kind }>;

export interface Maker<Kind extends ImageSource['kind']> {
  /**
   * Resolves when every layer of the image is in place; the store then flushes the pool and writes the record. On failure it
   * throws, a MakeFailed where the user can know or do something; what it put anywhere but below `workDir` and into
   * `layers` it has removed by then.
   */
  make(source: SourceOf<Kind>, context: MakeContext): Promise<MadeImage>;
}

export interface MakeContext {
  readonly name: string;
  /** Aborted when the image is deleted or the runner stops: everything the maker started ends then, and `make` rejects. */
  readonly signal: AbortSignal;
  /** Empty directory (0700, root) on the file system of the layers, so that a rename makes a layer of what is in it. Removed afterwards, also by the next runner. */
  readonly workDir: string;
  /** Appends to the image's log, which users read. Bounded by the log itself. */
  readonly log: (text: string) => void;
  readonly progress: (progress: Progress) => void;
  readonly layers: LayerAccess;
}

/** The layers as one making sees them: what it obtained stays at least until the making ends. */
export interface LayerAccess {
  /**
   * Makes sure that the layer is there. Of all who ask for a name from one source at the same time one makes it; the others wait.
   * One that was there is somebody else's as well: unless its name is public or the asker's own, only who proves to have its
   * content may use it.
   * @param name LAYER_NAME, and a promise about the content: same name, same files
   * @param make fills the directory, which becomes the layer (`root:root` 0755 unless changed)
   * @param source nobody waits for somebody else's, which may be as slow as it likes: the first that is done makes the layer
   */
  obtain(name: string, make: (dir: string) => Promise<LayerInfo>, source?: string): Promise<LayerInfo>;
  /** Makes a layer of a finished directory below `workDir`, for content whose name is known only afterwards. One that is there already stays. */
  add(name: string, dir: string, info: LayerInfo): Promise<LayerInfo>;
  /** Whether the registry once sent that blob as the content of the obtained layer. */
  isVouched(name: string, voucher: Voucher): boolean;
  /** Remembers that it did, after digest and diffID were verified. */
  vouch(name: string, voucher: Voucher): void;
  /** A layer that this runner gave to the registry as that blob, or had from it, obtained under its own name; null: none is known. Whoever takes it proves first that the registry would send the blob. */
  twin(blob: { readonly diffId: string; readonly digest: string; readonly size: number }, host: string): string | null;
  /** Remembers what an obtained layer is in one of this installation's repositories. @param repository `host/repository` */
  noteBlob(name: string, blob: { readonly diffId: string; readonly digest: string; readonly size: number }, repository: string): void;
  /** Absolute directory of a layer that was obtained. */
  path(name: string): string;
  /** Layers, topmost first, and template disk of a ready image, held like obtained ones; null: there is no such image. */
  ofImage(image: string): { readonly layers: readonly string[]; readonly disk: string | null; readonly config: RecordedConfig } | null;
}

/** What records keep of an image's configuration: users are read from its layers at each start of a runner. */
export type RecordedConfig = Omit<ImageConfig, 'users' | 'groups'>;

export interface MadeImage {
  /** Names of obtained layers, topmost first. */
  readonly layers: readonly string[];
  /** Template disk (see TemplateDisks), called like the image, that a sandbox's disk starts as a clone of; null: it starts empty. */
  readonly disk: string | null;
  /** Unpacked size of everything in it. */
  readonly sizeBytes: number;
  readonly config: RecordedConfig;
  /** What it was made from, for people: kept in the record, read by nobody. */
  readonly origin: Readonly<Record<string, unknown>>;
}

/** Disks that images name. A template belongs to the one image whose record names it. */
export interface TemplateDisks {
  /** Every template there is, whoever made it. */
  list(): Promise<readonly string[]>;
  /** Directory with the files of the template, above the layers as in the overlay (`upper`). */
  upper(disk: string): string;
  /** Idempotent. */
  destroy(disk: string): Promise<void>;
}

/** Why an image could not be made, as a sentence for its user. */
export class MakeFailed extends Error {
  /** The cause may pass by itself: asking again may help. */
  readonly transient: boolean;

  constructor(message: string, options: { readonly transient?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.transient = options.transient ?? false;
  }
}
