/** Talking to runners. */
export { createRunnerClient, type RunnerClient, type RunnerFailure, type RunnerFailureCode, type RunnerResult } from './client.ts';
export { followRunnerEvents } from './event-stream.ts';
