/** Has an image that the runner cannot do without made, and tries again as long as that fails. */
import type { Images } from './images.ts';

/** A mirror that cannot be reached is tried again, twice as long later each time. */
const RETRY_MS = { first: 30_000, longest: 600_000 } as const;

/** @returns a function that ends the retries */
export function keepMade(images: Images, name: string, onFailure: (reason: string, retryMs: number) => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const begin = (delayMs: number): void => void attempt(delayMs).catch((error: unknown) => ended || onFailure((error as Error).message, delayMs));
  const attempt = async (delayMs: number): Promise<void> => {
    await images.put(name, { kind: 'recipe' });
    await images.settled(name);
    const image = images.find(name);
    if (ended || image?.state !== 'failed') return;
    onFailure(image.reason ?? '', delayMs);
    timer = setTimeout(() => begin(Math.min(RETRY_MS.longest, delayMs * 2)), delayMs).unref();
  };
  begin(RETRY_MS.first);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
