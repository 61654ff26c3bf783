/** Makes images from Dockerfiles: bases by the store, steps by buildah in a sandbox, the result back into the store. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDockerfile, stagesOf } from '@paddock/contract';
import { MakeFailed, type MadeImage, type MakeContext, type Maker, type SourceOf } from '../images/index.ts';
import { RunnerError } from '../runner-error.ts';
import { errorCode } from '../sys/index.ts';
import { BuildOutput } from './build-output.ts';
import { BUILDER_IMAGE, BuildSandbox, type BuildSandboxParts } from './build-sandbox.ts';
import { CERTIFICATES, buildScript } from './build-script.ts';
import { writeBaseStore, type BaseImage } from './base-store.ts';
import { makeRecipe, obtainBases, type BaseParts } from './bases.ts';
import { BuildCaches, type CacheParts } from './cache.ts';
import { fetchContexts } from './contexts.ts';
import { DiskFull, takeResult } from './result.ts';
import { Turns } from './turns.ts';
import { MAX_DOCKERFILE_BYTES, notesOf, problemsOf, asBuildahReads } from './unsupported.ts';

export interface BuilderParts extends BuildSandboxParts, BaseParts, CacheParts {
  readonly sandboxes: BuildSandboxParts['sandboxes'];
  readonly disks: BuildSandboxParts['disks'];
}

/** A build whose bases are there. */
interface Work {
  readonly source: SourceOf<'build'>;
  /** The Dockerfile as buildah gets it. */
  readonly text: string;
  readonly bases: readonly BaseImage[];
  /** Whether the Dockerfile, or a trigger of a base, says where to work. */
  readonly setsWorkDir: boolean;
}

const GIB = 1024 ** 3;
const MINUTE_MS = 60_000;

/** As images call it. */
const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;
const PLATFORM = `linux/${ARCHITECTURE}`;

/** Where the steps begin and end in the making's progress. */
const STEPS = { from: 0.25, to: 0.9 } as const;

/** With less than this in the pool, writes fail although a quota has room. */
const POOL_FULL_BYTES = GIB;

/** How often a build that waits for the builder tells how far that is. */
const TELL_MS = 500;

/** How buildah, the kernel and programs say that the disk is full. */
const DISK_FULL = /disk quota exceeded|no space left on device/i;

export class Builder implements Maker<'build'> {
  readonly #parts: BuilderParts;
  readonly #turns: Turns;
  readonly #caches: BuildCaches;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.config.atOnce);
    this.#caches = new BuildCaches(parts, this.#turns);
  }

  /** Nothing of a build outlives the runner that drove it but its organization's layer cache. */
  open(): Promise<void> {
    return this.#caches.open();
  }

  close(): void {
    this.#caches.close();
  }

  async make(source: SourceOf<'build'>, context: MakeContext): Promise<MadeImage> {
    if (Buffer.byteLength(source.dockerfile) > MAX_DOCKERFILE_BYTES) throw new MakeFailed('A Dockerfile has at most one MiB');
    const dockerfile = parseDockerfile(source.dockerfile);
    const problems = problemsOf(dockerfile, PLATFORM);
    if (problems.length > 0) throw new MakeFailed(`This Dockerfile cannot be built: ${problems.join('; ')}`);
    for (const note of notesOf(dockerfile)) context.log(`Note: ${note}\n`);
    const [{ bases, whole }] = await Promise.all([obtainBases(this.#parts, source, dockerfile, PLATFORM, context), this.#builderImage(context)]);
    const triggered = problemsOf(whole, PLATFORM);
    if (triggered.length > 0) throw new MakeFailed(`This Dockerfile cannot be built with what its base image adds to it (ONBUILD): ${triggered.join('; ')}`);
    const setsWorkDir = stagesOf(whole, PLATFORM).lineage.some(({ name }) => name === 'WORKDIR');
    context.progress({ fraction: STEPS.from, text: 'Waiting for other builds' });
    return this.#turns.run(source.organizationId, context.signal, () => this.#build({ source, text: asBuildahReads(source.dockerfile, dockerfile), bases, setsWorkDir }, context));
  }

  async #build(work: Work, context: MakeContext): Promise<MadeImage> {
    const sandbox = new BuildSandbox(work.source.organizationId, this.#parts);
    const timeout = AbortSignal.timeout(this.#parts.config.timeoutMinutes * MINUTE_MS);
    const signal = AbortSignal.any([context.signal, timeout]);
    try {
      return await this.#attempt(sandbox, work, { ...context, signal });
    } catch (error) {
      if (timeout.aborted && !context.signal.aborted) throw new MakeFailed(`The build took longer than ${this.#parts.config.timeoutMinutes} minutes`, { cause: error });
      context.signal.throwIfAborted();
      throw error;
    } finally {
      await sandbox.stop();
      await sandbox.tidy();
      void this.#caches.collect();
    }
  }

  async #attempt(sandbox: BuildSandbox, work: Work, context: MakeContext): Promise<MadeImage> {
    const cached = sandbox.hasCache;
    try {
      return await this.#run(sandbox, work, context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!isDiskFull(error)) throw error;
      if (!cached) throw await this.#tooLarge(error as Error);
    }
    context.log('The disk of the build is full: the layer cache is dropped and the build begins anew.\n');
    await sandbox.discard();
    return this.#attempt(sandbox, work, context);
  }

  async #run(sandbox: BuildSandbox, { source, text, bases, setsWorkDir }: Work, context: MakeContext): Promise<MadeImage> {
    const { config } = this.#parts;
    const { signal } = context;
    const input = await sandbox.prepare();
    writeFileSync(join(input, 'Dockerfile'), text);
    const stored = writeBaseStore(join(input, 'bases'), bases, ARCHITECTURE);
    if (config.caFile !== null) copyFileSync(config.caFile, join(input, CERTIFICATES));
    writeFileSync(join(input, 'build.sh'), buildScript(stored.map(({ base, name }) => [base.written, name] as const), PLATFORM, config.caFile !== null));
    await fetchContexts(source.contexts, join(input, 'contexts'), config.diskGiB * GIB, signal);
    const mounts = new Map(stored.map(({ mountPoint, base }) => [mountPoint, { mountPoint, layers: base.layers.map((layer) => context.layers.path(layer)) }]));
    const output = new BuildOutput(new Map(stored.map(({ name, base }) => [name, base.reference])));
    try {
      await sandbox.start([...mounts.values()], signal);
      const status = await sandbox.run('build.sh', (printed) => {
        context.log(output.read(printed));
        const steps = output.progress;
        if (steps !== null) context.progress({ fraction: STEPS.from + (STEPS.to - STEPS.from) * steps.fraction, text: steps.text });
      });
      context.log(output.end());
      if (status !== 0) throw this.#failure(sandbox, output.reason(status));
      return await takeResult(sandbox, stored, setsWorkDir, context);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof MakeFailed) throw error;
      if (isDiskFull(error)) throw error;
      if (error instanceof RunnerError && error.code === 'RUNNER_FULL') throw new MakeFailed(error.message, { transient: true, cause: error });
      const ended = sandbox.ended;
      if (ended !== null) throw new MakeFailed(`${output.reason(137)}. The build ended: ${ended}`, { cause: error });
      throw error;
    }
  }

  async #tooLarge(error: Error): Promise<MakeFailed> {
    const { totalBytes, usedBytes } = await this.#parts.disks.usage();
    if (totalBytes - usedBytes < POOL_FULL_BYTES) return new MakeFailed(`${error.message}. The storage of the runner is full`, { transient: true, cause: error });
    return new MakeFailed(`${error.message}. The disk of a build has ${this.#parts.config.diskGiB} GiB`, { cause: error });
  }

  #failure(sandbox: BuildSandbox, reason: string): Error {
    if (DISK_FULL.test(reason)) return new DiskFull(reason);
    if (sandbox.oomKills > 0) return new MakeFailed(`${reason}. The kernel ended a process for lack of memory: a build has ${this.#parts.config.memoryGiB} GiB`);
    return new MakeFailed(reason);
  }

  async #builderImage(context: MakeContext): Promise<void> {
    const { images } = this.#parts;
    const ready = (): boolean => images.find(BUILDER_IMAGE)?.state === 'ready';
    if (ready()) return;
    context.log('Preparing the builder, once on this machine.\n');
    const telling = setInterval(() => {
      const progress = images.find(BUILDER_IMAGE)?.progress;
      if (progress !== undefined) context.progress({ fraction: STEPS.from * progress.fraction, text: `Preparing the builder: ${progress.text}` });
    }, TELL_MS);
    try {
      await makeRecipe(images, BUILDER_IMAGE, context.signal);
    } finally {
      clearInterval(telling);
    }
    if (!ready()) throw new MakeFailed(`The builder could not be prepared: ${images.find(BUILDER_IMAGE)?.reason ?? 'it is not there'}`, { transient: true });
  }
}

/** Whatever noticed it: the builder, a program, the start of the sandbox, or this process. */
function isDiskFull(error: unknown): boolean {
  if (error instanceof DiskFull || ['EDQUOT', 'ENOSPC'].includes(errorCode(error) ?? '')) return true;
  return error instanceof RunnerError && error.code === 'START_FAILED' && DISK_FULL.test(error.message);
}
