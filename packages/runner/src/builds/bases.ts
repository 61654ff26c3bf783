/** Brings the images a Dockerfile stands on into the store. Credentials and mirrors are the runner's: the build sandbox gets files. */
import { MAX_INSTRUCTIONS, TooLong, namedBy, parseDockerfile, stagesOf, type Base, type Dockerfile, type ImageSource, type Instruction } from '@paddock/contract';
import { MakeFailed, type Images, type MakeContext, type Maker, type SourceOf } from '../images/index.ts';
import { RegistryError, parseReference, sameHost } from '../registry-client/index.ts';
import { RunnerError } from '../runner-error.ts';
import type { BaseImage } from './base-store.ts';
import { MAX_BASES, asBuildahReads } from './unsupported.ts';

export interface BaseParts {
  readonly images: Pick<Images, 'put' | 'settled' | 'find'>;
  readonly registry: Maker<'registry'>;
}

type Found = Pick<BaseImage, 'layers' | 'config'>;
type BuildSource = Extract<ImageSource, { kind: 'build' }>;

/** Of the making's progress. */
const SHARE = 0.2;

/** @param platform see stagesOf @returns the bases, and the Dockerfile with the triggers (ONBUILD) that they bring along */
export async function obtainBases(parts: BaseParts, source: SourceOf<'build'>, dockerfile: Dockerfile, platform: string, context: MakeContext): Promise<{ readonly bases: readonly BaseImage[]; readonly whole: Dockerfile }> {
  const bases: BaseImage[] = [];
  for (;;) {
    // What a base's triggers copy from may be one more base, with triggers of its own.
    const whole = withTriggers(dockerfile, bases);
    const missing = basesOf(whole, platform).filter(({ written }) => !bases.some((base) => base.written === written));
    if (missing.length === 0) return { bases, whole };
    if (bases.length + missing.length > MAX_BASES) throw new MakeFailed(`This Dockerfile cannot be built: it needs more than ${MAX_BASES} other images`);
    await obtain(parts, source, missing, bases, context);
  }
}

function basesOf(dockerfile: Dockerfile, platform: string): readonly Base[] {
  try {
    return stagesOf(dockerfile, platform).bases;
  } catch (error) {
    if (error instanceof TooLong) throw new MakeFailed('This Dockerfile cannot be built: what its base image adds to it (ONBUILD) is too long');
    throw error;
  }
}

/** The instructions as they will be run: those of a base come right after the FROM that names it, and are on its line. */
function withTriggers({ instructions, ...rest }: Dockerfile, bases: readonly BaseImage[]): Dockerfile {
  const triggers = new Map(bases.map(({ written, config }) => [written, parseDockerfile((config.forBuilds?.onBuild ?? []).join('\n')).instructions]));
  const whole: Instruction[] = [];
  for (const instruction of instructions) {
    whole.push(instruction);
    if (instruction.name !== 'FROM') continue;
    for (const trigger of triggers.get(namedBy(instruction)) ?? []) whole.push({ ...trigger, line: instruction.line });
    if (whole.length > MAX_INSTRUCTIONS) break; // more than is looked at
  }
  return { ...rest, instructions: whole };
}

async function obtain(parts: BaseParts, source: SourceOf<'build'>, wanted: readonly Base[], bases: BaseImage[], context: MakeContext): Promise<void> {
  for (const [index, { reference, written, line }] of wanted.entries()) {
    const known = bases.find((base) => base.reference === reference);
    if (known !== undefined) {
      bases.push({ ...known, written });
      continue;
    }
    const progress = (fraction: number, text: string): void => context.progress({ fraction: (SHARE * (index + fraction)) / wanted.length, text });
    progress(0, `Fetching ${reference}`);
    const own = localName(source, reference);
    const image = own === null ? await pulled(parts, source, reference, line, { ...context, progress: ({ fraction, text }) => progress(fraction, `${reference}: ${text}`) })
      : await local(parts, reference, own, line, context);
    bases.push({ ...image, config: asRead(image.config), reference, written });
  }
}

/** See asBuildahReads. */
function asRead(config: BaseImage['config']): BaseImage['config'] {
  const onBuild = config.forBuilds?.onBuild?.map((trigger) => asBuildahReads(trigger, parseDockerfile(trigger)));
  return onBuild === undefined ? config : { ...config, forBuilds: { ...config.forBuilds, onBuild } };
}

/** Names of images that belong to somebody: whoever writes one in a Dockerfile need not be the one. */
const OWNED = /^(?:sha256|build|sandbox)-/;

/** Images that Paddock ships are `paddock/<name>`. */
function localName({ localBases = {} }: BuildSource, reference: string): string | null {
  const name = Object.hasOwn(localBases, reference) ? localBases[reference]! : /^paddock\/([a-z0-9-]+)(?::latest)?$/.exec(reference)?.[1] ?? null;
  if (name !== null && OWNED.test(name)) throw new MakeFailed(`There is no image ${reference}: of the images on this server only those that Paddock ships can be named`);
  return name;
}

async function local(parts: BaseParts, reference: string, name: string, line: number, context: MakeContext): Promise<Found> {
  if (parts.images.find(name)?.state !== 'ready') {
    context.log(`Making ${reference}\n`);
    await makeRecipe(parts.images, name, context.signal);
  }
  const image = context.layers.ofImage(name);
  const { state, reason } = parts.images.find(name) ?? { state: 'failed' };
  if (image === null) throw new MakeFailed(`Line ${line}: the base image ${reference} is not there: ${reason ?? state}`, { transient: state === 'failed' });
  if (image.disk !== null) throw new MakeFailed(`Line ${line}: ${reference} was made from a sandbox and cannot be a base image`);
  return { layers: image.layers, config: image.config };
}

/** Makes sure that a recipe's image is there, or has failed. */
export async function makeRecipe(images: BaseParts['images'], name: string, signal: AbortSignal): Promise<void> {
  try {
    await images.put(name, { kind: 'recipe' });
  } catch (error) {
    if (error instanceof RunnerError && error.code === 'IMAGE_NOT_FOUND') return;
    throw error;
  }
  await Promise.race([images.settled(name), aborted(signal)]);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

async function pulled(parts: BaseParts, source: BuildSource, reference: string, line: number, context: MakeContext): Promise<Found> {
  try {
    const { host } = parseReference(reference);
    const auth = source.auths.find((candidate) => sameHost(candidate.host, host)) ?? null;
    const { layers, config } = await parts.registry.make({ kind: 'registry', reference, auth }, context);
    return { layers, config };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof MakeFailed || error instanceof RegistryError)) throw error;
    const transient = error instanceof MakeFailed && error.transient;
    throw new MakeFailed(`Line ${line}: the base image ${reference} cannot be had: ${error.message}`, { transient, cause: error });
  }
}
