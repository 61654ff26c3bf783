import { startRegistry } from './registry-support.ts';

/** A registry in a process of its own, to be killed. usage: node registry-process.ts <directory>; prints port, user name and secret. */
const { port, own, registry } = await startRegistry({ patience: { linkMs: 60_000, contentMs: 60_000, uploadMs: 60_000 } }, process.argv[2]!);
registry.start();
console.log(JSON.stringify({ port, own }));
