import type { Digest } from './names.ts';

/** One holder of a name at a time, wherever the registry is served. Nested only as repository → blob. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** For a registry that one process serves. */
export function exclusiveInProcess(): Exclusive {
  const tails = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = tails.get(name);
    const mine = (before ?? Promise.resolve()).catch(() => undefined).then(work);
    tails.set(name, mine);
    try {
      return await mine;
    } finally {
      if (tails.get(name) === mine) tails.delete(name);
    }
  };
}

export function blobLock({ text }: Digest): string {
  return `registry:blob:${text}`;
}

export function repositoryLock(name: string): string {
  return `registry:repository:${name}`;
}
