/** What sandboxes are made from. */
import { Images, type ImagesInput } from './images.ts';

export { Images } from './images.ts';
export { parseUsers, readUsers } from './users.ts';

/** `PADDOCK_IMAGE_CACHE`: see ImagesInput.cacheDir. */
export function createImages(input: ImagesInput): Images {
  return new Images({ cacheDir: process.env['PADDOCK_IMAGE_CACHE'] ?? null, ...input });
}
