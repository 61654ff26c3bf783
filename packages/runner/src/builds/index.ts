/** Images from Dockerfiles. */
export { Builder, type BuilderParts } from './builder.ts';
