/** An instance seen from outside: what it left on the machine, stopping it, removing it. */
export * from './destroy.ts';
export * from './stop.ts';
export * from './traces.ts';
