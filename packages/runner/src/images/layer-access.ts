/** The layers as one making sees them. */
import type { ImageRecord } from './image-records.ts';
import type { LayerHold, Layers } from './layers.ts';
import type { LayerAccess } from './maker.ts';

export interface LayerAccessInput {
  readonly layers: Layers;
  /** Of this making. */
  readonly hold: LayerHold;
  readonly workDir: string;
  readonly signal: AbortSignal;
  /** Of a ready image. */
  readonly recordOf: (image: string) => ImageRecord | null;
}

export function layerAccess({ layers, hold, workDir, signal, recordOf }: LayerAccessInput): LayerAccess {
  return {
    obtain: (name, make, source) => hold.obtain(name, workDir, signal, make, source),
    add: (name, dir, info) => hold.addMade(name, dir, info),
    isVouched: (name, voucher) => hold.isVouched(name, voucher),
    vouch: (name, voucher) => hold.vouch(name, voucher),
    twin: (blob, host) => {
      const name = layers.notes.layerOf(blob, host);
      if (name === null || layers.info(name) === null) return null;
      hold.add(name);
      return name;
    },
    noteBlob: (name, { diffId, digest, size }, repository) => {
      if (layers.notes.get(name) === null) layers.notes.set(name, { diffId, digest, size, repository });
    },
    path: (name) => layers.path(name),
    ofImage: (image) => {
      const record = recordOf(image);
      if (record === null) return null;
      record.layers.forEach((layer) => hold.add(layer));
      return { layers: record.layers, disk: record.disk ?? null, config: record.config };
    },
  };
}
