/** Gives images of this runner to others, through a registry. */
export { Notes } from './notes.ts';
export { Publications } from './publications.ts';
export { type LentImage } from './publish-image.ts';
