/** Dockerfiles, as far as both the control plane and the runner read them. */
export { MAX_INSTRUCTIONS, MAX_LINE_BYTES, flag, namedBy, parseDockerfile, stagesOf, type Base, type Dockerfile, type Instruction, type Stages } from './dockerfile.ts';
export { TooLong } from './variables.ts';
