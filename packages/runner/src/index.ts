/** The runner is a program of its own (main.ts), started by the supervisor; other packages speak to its socket. */
export { ENGINES, findEngine, type Engine } from './engine/engines.ts';
export { openCgroups, type Cgroups } from './engine/cgroups.ts';
export { runRunner, type RunningRunner } from './runner.ts';
