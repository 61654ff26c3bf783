/** One start, cold or of a stopped sandbox: independent steps overlap, policy stands before the first process runs. */
import type { SandboxSpec } from '@paddock/contract';
import { GIB, userOf, type RunningInit } from '../engine/launcher.ts';
import { linkMountTable } from '../engine/mount-table.ts';
import { RunnerError } from '../runner-error.ts';
import type { Image, NetworkSlot, ShownView, View } from '../types.ts';
import type { Parts } from './parts.ts';
import { teardown } from './teardown.ts';

export interface StartInput {
  readonly spec: SandboxSpec;
  readonly image: Image;
  readonly views: readonly View[];
  readonly signal: AbortSignal;
  readonly mark: (step: string) => void;
  readonly onRunning: (init: RunningInit, slot: number) => Promise<void>;
}

export interface Started {
  readonly init: RunningInit;
  readonly slot: number;
  readonly toolboxVersion: string;
}

/**
 * The ready image of a spec, checked against what the spec wants of it.
 * @param exists the sandbox stands on it already: then also one that is deleted for everybody else
 */
export function imageOf(parts: Parts, spec: SandboxSpec, exists: boolean): Image {
  const image = exists ? parts.images.ofSandbox(spec.image) : parts.images.get(spec.image);
  if (image === null) {
    const known = parts.images.list().find((candidate) => candidate.name === spec.image);
    if (known === undefined) throw new RunnerError('IMAGE_NOT_FOUND', `There is no image "${spec.image}" on this runner`);
    throw new RunnerError('IMAGE_NOT_READY', `The image "${spec.image}" is ${known.state}: ${known.reason ?? known.progress?.text ?? 'not ready yet'}`);
  }
  userOf(spec, image);
  return image;
}

/** On failure nothing is left but the disk. */
export async function start(parts: Parts, input: StartInput): Promise<Started> {
  const { spec, mark } = input;
  const { id } = spec;
  let slot: NetworkSlot | null = null;
  let init: RunningInit | null = null;
  try {
    await allDone([
      parts.network.take().then((taken) => {
        slot = taken;
        mark('network slot');
      }),
      parts.disks.create(id, Math.round(spec.diskGiB * GIB), input.image.disk).then(() => mark('disk')),
    ]);
    const taken = slot as unknown as NetworkSlot;
    let rootfs = '';
    await allDone([
      parts.network.apply(taken.index, spec.network).then(() => mark('network policy')),
      parts.disks.mount(id, input.image.layers, taken).then((path) => {
        rootfs = path;
        mark('mount');
      }),
    ]);
    const views: readonly ShownView[] = input.views.length === 0 ? [] : await parts.disks.show(id, input.views, taken);
    linkMountTable(rootfs, taken.idBase);
    if (spec.volumes.length > 0) {
      await parts.volumes.mountInto(rootfs, taken, spec.volumes);
      mark('volumes');
    }
    input.signal.throwIfAborted();
    const { toolboxVersion } = await parts.launcher.launch({
      views, spec, image: input.image, slot: taken, rootfs, resolver: parts.network.resolver, signal: input.signal, mark,
      onRunning: async (running) => {
        init = running;
        // The sandbox has its own copy of the mount; the runner's goes while the toolbox starts.
        await allDone([input.onRunning(running, taken.index), parts.disks.unmount(id)]);
      },
    });
    return { init: init as unknown as RunningInit, slot: taken.index, toolboxVersion };
  } catch (error) {
    await teardown(parts, { id, process: (init as RunningInit | null)?.process ?? null, slot: (slot as NetworkSlot | null)?.index ?? null });
    if (error instanceof RunnerError) throw error;
    if (isNoSpace(error)) throw new RunnerError('RUNNER_FULL', `The runner has no room for this sandbox: ${(error as Error).message}`, error);
    throw new RunnerError('START_FAILED', `The sandbox did not start: ${(error as Error).message}`, error);
  }
}

/** Waits for all, also after a failure: what one of them took must be known before it can be given back. */
async function allDone(tasks: ReadonlyArray<Promise<unknown>>): Promise<void> {
  for (const outcome of await Promise.allSettled(tasks)) if (outcome.status === 'rejected') throw outcome.reason;
}

const NO_SPACE = new Set(['ENOSPC', 'EDQUOT', 'RUNNER_FULL']);

function isNoSpace(error: unknown): boolean {
  return NO_SPACE.has((error as { code?: string }).code ?? '');
}
