/** Talking to runners. */
export { createRunnerClient, type RunnerClient, type RunnerFailure, type RunnerFailureCode, type RunnerResult } from './client.ts';
export { followRunnerEvents } from './event-stream.ts';
export { followImages, type ImageFollower, type ImageListener } from './image-follower.ts';
