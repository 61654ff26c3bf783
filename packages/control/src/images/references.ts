/** References to images as people write them: `[host/]repository[:tag][@digest]`. */
import { TooLong, parseDockerfile, stagesOf, type Instruction } from '@paddock/contract';

const DIGEST = /@sha256:[a-f0-9]{64}$/;
/** wire: names of images and snapshots. */
const REFERENCE = /^[a-zA-Z0-9_.\-:]+(\/[a-zA-Z0-9_.\-:]+)*(@sha256:[a-f0-9]{64})?$/;

/** Host of a reference. The first part is one when it has a dot or a port or is localhost; otherwise it is Docker Hub. */
export function hostOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : 'docker.io';
}

/** wire: a tag or a digest must be there, and the tag must not move by convention. @returns what is wrong */
export function imageNameProblem(name: string): string | null {
  if (!REFERENCE.test(name) || name.length > 512) return 'Invalid image name format. Must be lowercase, may contain digits, dots, dashes, and single slashes between components';
  if (DIGEST.test(name)) return null;
  const last = name.slice(name.lastIndexOf('/') + 1);
  const colon = last.indexOf(':');
  const tag = colon < 0 ? '' : last.slice(colon + 1);
  if (tag === '') return 'Image name must include a tag (e.g., ubuntu:22.04) or digest (@sha256:...)';
  if (tag === 'latest') return 'Images with tag ":latest" are not allowed';
  return null;
}

/** wire: as image names, but a tag is no must. */
export function isSnapshotName(name: string): boolean {
  return REFERENCE.test(name) && name.length <= 255;
}

const OURS = /^paddock\/([a-z0-9][a-z0-9-]*)(?::[\w.-]+)?$/;

/** The images that building a Dockerfile takes, after FROM, COPY --from and RUN --mount, with their variables replaced. */
export function basesOf(dockerfile: string): string[] {
  try {
    return [...new Set(stagesOf(parseDockerfile(dockerfile), BUILD_PLATFORM).bases.map(({ reference }) => reference))];
  } catch (error) {
    if (error instanceof TooLong) return []; // the runner refuses it, with a sentence
    throw error;
  }
}

/** What variables such as TARGETARCH say. */
const BUILD_PLATFORM = 'linux/amd64';

/** Recipes of ours that a Dockerfile builds on: `paddock/<recipe>`, as it is written → name in the runner's store. */
export function localBases(dockerfile: string): Record<string, string> {
  const bases: Record<string, string> = {};
  for (const reference of basesOf(dockerfile)) {
    const recipe = OURS.exec(reference)?.[1];
    if (recipe) bases[reference] = recipe;
  }
  return bases;
}

/**
 * wire: what a build's snapshot shows as its entrypoint: the last `ENTRYPOINT` of the Dockerfile, a JSON list or one text, else a
 * process that does nothing for ever.
 */
export function entrypointOf(dockerfile: string): string[] {
  const text = lastOf('ENTRYPOINT', lineageOf(dockerfile));
  return text === null ? [...IDLE_ENTRYPOINT] : wordsOf(text) ?? [text];
}

/** What its sandboxes start: a text is for the shell. null: nothing */
export function startedEntrypoint(dockerfile: string): readonly string[] | null {
  const lineage = lineageOf(dockerfile);
  const text = lastOf('ENTRYPOINT', lineage);
  if (text === null) return null;
  return runnableEntrypoint(wordsOf(text) ?? [...(wordsOf(lastOf('SHELL', lineage) ?? '') ?? ['/bin/sh', '-c']), text]);
}

function lineageOf(dockerfile: string): readonly Instruction[] {
  try {
    return stagesOf(parseDockerfile(dockerfile), BUILD_PLATFORM).lineage;
  } catch (error) {
    if (error instanceof TooLong) return []; // the runner refuses it, with a sentence
    throw error;
  }
}

function lastOf(name: string, instructions: readonly Instruction[]): string | null {
  return instructions.findLast((instruction) => instruction.name === name && instruction.text !== '')?.text ?? null;
}

/** null: it is no JSON list of words. */
function wordsOf(text: string): string[] | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((word) => typeof word === 'string') ? parsed : null;
  } catch {
    return null; // the shell form
  }
}

export const IDLE_ENTRYPOINT: readonly string[] = ['sleep', 'infinity'];

/** A process that only waits for ever costs memory and changes nothing: it is not started. */
export function runnableEntrypoint(entrypoint: readonly string[] | null): readonly string[] | null {
  if (entrypoint?.length === 0) return null;
  return entrypoint?.join(' ') === IDLE_ENTRYPOINT.join(' ') ? null : entrypoint;
}
