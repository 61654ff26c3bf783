/**
 * Who may share a layer without sending it. Layers are shared by digest, and a registry can name any digest: knowing one must not
 * be enough to get somebody's files. So each layer has a list of blobs that registries really sent, verified, as its content. A
 * pull from one of these registries takes the layer as it is when the registry lets the puller have that blob; any other pull
 * has to bring the bytes.
 *
 * A voucher is a fact about a registry and a digest, not about a directory: it stays true whatever becomes of the layer, so
 * files need neither an order with the layers nor a flush. One that is lost or damaged costs a download.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Voucher {
  /** Of the reference (`host[:port]`, `docker.io`): mirrors that the operator set stand for it. */
  readonly host: string;
  /** `sha256:<hex>` of the blob as the registry has it, compressed or not. */
  readonly blob: string;
  /** Of the blob. */
  readonly sizeBytes: number;
}

/** The same content compressed in more ways, or in more places, is rare; the oldest ones go. */
const MAX_VOUCHERS = 32;

const SUFFIX = '.json';
const UNFINISHED = '.new';

export class Vouchers {
  readonly #dir: string;

  /** @param dir of its own */
  constructor(dir: string) {
    this.#dir = dir;
  }

  open(): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
  }

  has(layer: string, voucher: Voucher): boolean {
    return this.#read(layer).some((known) => same(known, voucher));
  }

  add(layer: string, { host, blob, sizeBytes }: Voucher): void {
    const voucher = { host, blob, sizeBytes };
    const known = this.#read(layer);
    if (known.some((other) => same(other, voucher))) return;
    const path = this.#path(layer);
    writeFileSync(`${path}${UNFINISHED}`, `${JSON.stringify([...known, voucher].slice(-MAX_VOUCHERS))}\n`, { mode: 0o600 });
    renameSync(`${path}${UNFINISHED}`, path);
  }

  /** Removes those of other layers, and what a killed runner left unfinished. */
  collect(isNeeded: (layer: string) => boolean): void {
    for (const file of readdirSync(this.#dir)) {
      if (!file.endsWith(SUFFIX) || !isNeeded(file.slice(0, -SUFFIX.length))) rmSync(join(this.#dir, file), { force: true });
    }
  }

  #read(layer: string): readonly Voucher[] {
    try {
      const content = JSON.parse(readFileSync(this.#path(layer), 'utf8')) as unknown;
      return Array.isArray(content) ? content.filter((item): item is Voucher => typeof item === 'object' && item !== null) : [];
    } catch {
      return [];
    }
  }

  #path(layer: string): string {
    return join(this.#dir, `${layer}${SUFFIX}`);
  }
}

function same(one: Voucher, other: Voucher): boolean {
  return one.host === other.host && one.blob === other.blob && one.sizeBytes === other.sizeBytes;
}
