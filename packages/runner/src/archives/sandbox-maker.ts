/** Images of sandboxes: the layers and the configuration of the image it was made from, and its disk as a template. */
import { MakeFailed, type MadeImage, type MakeContext, type Maker, type SourceOf } from '../images/index.ts';
import type { SandboxSnapshots } from '../lifecycle/sandboxes.ts';
import { RunnerError } from '../runner-error.ts';
import type { Disks } from '../types.ts';

export class SandboxMaker implements Maker<'sandbox'> {
  readonly #sandboxes: SandboxSnapshots;
  readonly #disks: Disks;

  constructor(sandboxes: SandboxSnapshots, disks: Disks) {
    this.#sandboxes = sandboxes;
    this.#disks = disks;
  }

  async make({ sandboxId }: SourceOf<'sandbox'>, context: MakeContext): Promise<MadeImage> {
    try {
      const base = this.#baseOf(sandboxId, context);
      context.progress({ fraction: 0.1, text: 'Taking the snapshot' });
      const { bytes, frozenMs } = await this.#sandboxes.snapshot(sandboxId, context.name);
      context.log(`Snapshot of the disk of sandbox ${sandboxId}; its processes stood still for ${frozenMs} ms\n`);
      context.signal.throwIfAborted();
      return {
        layers: base.layers, disk: context.name, sizeBytes: base.sizeBytes + bytes, config: base.config,
        origin: { sandbox: sandboxId, image: base.name },
      };
    } catch (error) {
      await this.#disks.templates.destroy(context.name);
      if (error instanceof RunnerError) throw new MakeFailed(error.message, { cause: error });
      throw error;
    }
  }

  #baseOf(sandboxId: string, context: MakeContext) {
    const name = this.#sandboxes.imageOf(sandboxId);
    const base = context.layers.ofImage(name);
    if (base === null) throw new MakeFailed(`The image "${name}" that the sandbox was made from is not on this runner`);
    return { ...base, name, sizeBytes: this.#sandboxes.imageSize(name) };
  }
}
