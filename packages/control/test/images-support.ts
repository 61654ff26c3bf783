import { nameOfReference } from '../src/images/image.ts';
import type { TestPlane } from './sandbox-support.ts';
import { until } from './sandbox-support.ts';

export const digestOf = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`;

const pulled = new Map<number, string>();

/** What a registry says of a reference; the content is that of `n`. */
export function published(plane: TestPlane, reference: string, n: number, sizeBytes = 1_000): void {
  const [repository = ''] = reference.split(/[:@]/);
  const full = `${repository.includes('/') ? repository : `docker.io/library/${repository}`}@${digestOf(n)}`;
  pulled.set(n, full);
  plane.runner.registry.set(reference, { digest: digestOf(n), sizeBytes, reference: full });
}

/** Name in the runner's store of the content that was published as `n`. */
export const imageOf = (n: number) => nameOfReference(pulled.get(n)!);

export async function snapshotState(plane: TestPlane, idOrName: string): Promise<string> {
  const reply = await plane.call('GET', `/api/snapshots/${encodeURIComponent(idOrName)}`);
  return reply.status === 404 ? 'gone' : reply.body.state;
}

export async function untilSnapshot(plane: TestPlane, idOrName: string, state: string, limitMs = 10_000): Promise<void> {
  await until(async () => (await snapshotState(plane, idOrName)) === state, `${idOrName} is ${state}`, limitMs);
}

/** Names of images that the runner was told to make, of a kind. */
export function ordered(plane: TestPlane, kind: string): string[] {
  return [...plane.runner.sources].filter(([, source]) => source.kind === kind).map(([name]) => name);
}

export async function untilOrdered(plane: TestPlane, kind: string, count = 1): Promise<string> {
  await until(() => ordered(plane, kind).length >= count, `${count} images of kind ${kind} are ordered`);
  return ordered(plane, kind).at(-1)!;
}
