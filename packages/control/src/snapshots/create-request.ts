import type { SandboxClass } from '@paddock/contract';
import { SANDBOX_CLASSES } from '@paddock/contract';
import { imageNameProblem, isSnapshotName, type BuildRequest } from '../images/index.ts';
import { displayTextProblem } from '../http/display-text.ts';
import { Fields } from '../http/fields.ts';
import { parseBuildInfo } from './build-info.ts';

/** What a snapshot is made of. */
export type SnapshotOrigin =
  | { readonly kind: 'image'; readonly imageName: string; readonly entrypoint: readonly string[] | null }
  | { readonly kind: 'build'; readonly build: BuildRequest };

/** A `POST /snapshots` body whose values are in range. What they refer to (region, image) is not looked up yet. */
export interface SnapshotRequest {
  readonly name: string;
  readonly origin: SnapshotOrigin;
  readonly cpu: number;
  readonly memoryGiB: number;
  readonly diskGiB: number;
  readonly gpu: number;
  readonly gpuType: string | null;
  readonly regionId: string | null;
  readonly sandboxClass: SandboxClass;
}

/** wire: one core, 1 GiB, 3 GiB; zero stands for them. */
export const DEFAULT_RESOURCES = { cpu: 1, memoryGiB: 1, diskGiB: 3 } as const;

const MAX_ENTRYPOINT_WORDS = 256;

export function parseSnapshot(body: unknown): { readonly value: SnapshotRequest } | { readonly problem: string } {
  const fields = new Fields(body);
  const name = fields.text('name', 255) ?? '';
  const imageName = fields.text('imageName', 512);
  const entrypoint = (fields.texts('entrypoint', MAX_ENTRYPOINT_WORDS) ?? []).filter((word) => word.trim() !== '');
  const amount = (key: string) => fields.integer(key, { min: 0 }) ?? 0;
  const [cpu, memory, disk, gpu] = [amount('cpu'), amount('memory'), amount('disk'), amount('gpu')];
  const gpuType = fields.texts('gpuType', 8)?.[0] ?? null;
  const regionId = fields.text('regionId', 256);
  const sandboxClass = fields.text('sandboxClass', 32) ?? 'container';
  const build = fields.present('buildInfo') ? parseBuildInfo(fields.object('buildInfo')) : null;

  const { problems } = fields;
  if (!problems.some((problem) => problem.startsWith('name '))) problems.push(...snapshotNameProblems(name));
  if (imageName !== null) problems.push(...[imageNameProblem(imageName)].filter((problem) => problem !== null));
  if (build && 'problems' in build) problems.push(...build.problems);
  if (!isClass(sandboxClass)) problems.push(`sandboxClass must be one of the following values: ${SANDBOX_CLASSES.join(', ')}`);
  if (problems.length > 0) return { problem: problems.join(', ') };

  if (imageName !== null && build) return { problem: 'Cannot specify both an image name and a build info entry' };
  if (imageName === null && !build) return { problem: 'Must specify either an image name or build info' };
  if (build && entrypoint.length > 0) return { problem: 'Cannot specify an entrypoint when using a build info entry; put it into the Dockerfile' };
  const origin: SnapshotOrigin = build && 'value' in build
    ? { kind: 'build', build: build.value }
    : { kind: 'image', imageName: imageName!, entrypoint: entrypoint.length > 0 ? entrypoint : null };
  return {
    value: {
      name, origin, gpu, gpuType, regionId, sandboxClass: sandboxClass as SandboxClass,
      cpu: cpu || DEFAULT_RESOURCES.cpu, memoryGiB: memory || DEFAULT_RESOURCES.memoryGiB, diskGiB: disk || DEFAULT_RESOURCES.diskGiB,
    },
  };
}

/** What is wrong with a snapshot's name. */
export function snapshotNameProblems(name: string): string[] {
  if (name === '') return ['name should not be empty'];
  const problem = displayTextProblem(name);
  if (problem) return [`name ${problem}`];
  return isSnapshotName(name) ? [] : ['name may contain letters, digits, dots, dashes, underscores, colons, single slashes between components, and a sha256 digest'];
}

function isClass(text: string): text is SandboxClass {
  return (SANDBOX_CLASSES as readonly string[]).includes(text);
}
