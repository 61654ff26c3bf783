import { SNAPSHOT_STATES } from '@paddock/contract';
import { expect, test } from 'vitest';
import { basesOf, entrypointOf, hostOf, imageNameProblem, isSnapshotName, localBases, runnableEntrypoint, startedEntrypoint } from '../src/images/references.ts';
import { buildHash } from '../src/images/image.ts';
import { IMAGE_MOVES, IMAGE_STATES, UNSETTLED, type ImageTrigger } from '../src/images/states.ts';
import { COUNTED, FOLLOWING, SNAPSHOT_MOVES, stateOfImage, type SnapshotTrigger } from '../src/snapshots/states.ts';

/** The tables of images and snapshots, enumerated, and how references are read. */
test('moves of images: a new one is a decision to be made here too', () => {
  const rows = (Object.keys(IMAGE_MOVES) as ImageTrigger[]).flatMap((trigger) => IMAGE_MOVES[trigger].from.map((from) => `${from} ─${trigger}▶ ${IMAGE_MOVES[trigger].to}`));
  expect(rows.sort()).toEqual([
    'away ─drop▶ removing', 'away ─want▶ pending', 'failed ─drop▶ removing', 'failed ─prepare▶ preparing', 'failed ─ready▶ ready', 'failed ─want▶ pending', 'leaving ─drop▶ removing', 'leaving ─left▶ away', 'leaving ─want▶ pending', 'pending ─drop▶ removing', 'pending ─fail▶ failed',
    'pending ─prepare▶ preparing', 'pending ─ready▶ ready', 'pending ─retry▶ pending', 'pending ─send▶ preparing', 'preparing ─drop▶ removing', 'preparing ─fail▶ failed',
    'preparing ─ready▶ ready', 'preparing ─retry▶ pending', 'ready ─drop▶ removing', 'ready ─fail▶ failed', 'ready ─lost▶ pending', 'ready ─offload▶ leaving', 'ready ─prepare▶ preparing',
    'ready ─ready▶ ready', 'removing ─want▶ pending',
  ].sort());
  // Whoever is not settled is looked after, and each of those states has a way out.
  for (const state of UNSETTLED) expect(rows.some((row) => row.startsWith(`${state} `) && !row.endsWith(` ${state}`)), state).toBe(true);
  for (const state of IMAGE_STATES) expect(rows.some((row) => row.startsWith(`${state} `)), state).toBe(true);
});

test('moves of snapshots, and what an image\'s state means for them', () => {
  const rows = (Object.keys(SNAPSHOT_MOVES) as SnapshotTrigger[]).filter((trigger) => trigger !== 'remove').flatMap((trigger) => SNAPSHOT_MOVES[trigger].from.map((from) => `${from} ─${trigger}▶ ${SNAPSHOT_MOVES[trigger].to}`));
  expect(rows).toEqual(['pending ─assigned▶ of image', 'pending ─fail▶ error', 'pending ─retry▶ pending', 'active ─deactivate▶ inactive', 'inactive ─activate▶ pending']);
  expect([...SNAPSHOT_MOVES.remove.from].sort()).toEqual(SNAPSHOT_STATES.filter((state) => state !== 'removing').sort());
  for (const state of ['inactive', 'removing'] as const) expect(FOLLOWING).not.toContain(state);
  expect(SNAPSHOT_STATES.filter((state) => !COUNTED.includes(state)).sort()).toEqual(['build_failed', 'error', 'inactive']);
  const of = (kind: 'recipe' | 'registry' | 'build' | 'sandbox') => {
    const source = { kind } as Parameters<typeof stateOfImage>[0]['source'];
    return IMAGE_STATES.map((state) => stateOfImage({ state, source }, 'pending'));
  };
  expect(of('registry')).toEqual(['pulling', 'pulling', 'active', 'error', 'pulling', 'pulling', 'pulling']);
  expect(of('recipe')).toEqual(of('registry'));
  expect(of('build')).toEqual(['building', 'building', 'active', 'build_failed', 'building', 'building', 'building']);
  expect(of('sandbox')).toEqual(['snapshotting', 'snapshotting', 'active', 'error', 'snapshotting', 'snapshotting', 'snapshotting']);
  for (const source of [{ kind: 'sandbox', sandboxId: '' }, { kind: 'build', dockerfile: '', contextHashes: [] }] as const) expect(stateOfImage({ state: 'pending', source, published: 'x@y' }, 'pending')).toBe('pulling');
  expect(stateOfImage({ state: 'preparing', source: { kind: 'recipe' } }, 'active')).toBe('active');
});

test('the host of a reference', () => {
  expect(['ubuntu:22.04', 'a/b:1', 'ghcr.io/a/b:1', 'localhost/a:1', 'localhost:5000/a:1', 'reg:5000/a/b@sha256:0', '127.0.0.1:3000/x/y:1'].map(hostOf))
    .toEqual(['docker.io', 'docker.io', 'ghcr.io', 'localhost', 'localhost:5000', 'reg:5000', '127.0.0.1:3000']);
});

test('names of images need a tag or a digest, names of snapshots may have slashes and colons', () => {
  const digest = `@sha256:${'a'.repeat(64)}`;
  for (const good of ['ubuntu:22.04', `ubuntu${digest}`, 'localhost:5000/a/b:1', `ubuntu:latest${digest}`]) expect(imageNameProblem(good), good).toBeNull();
  for (const bad of ['ubuntu', 'ubuntu:', 'ubuntu:latest', 'localhost:5000/a', 'a b:1', '/a:1', 'a//b:1', `a@sha256:${'g'.repeat(64)}`, 'http://a/b:1', 'x'.repeat(600)]) expect(imageNameProblem(bad), bad).not.toBeNull();
  for (const good of ['a', 'team/x:1', `a${digest}`, 'A_b.c-d']) expect(isSnapshotName(good), good).toBe(true);
  for (const bad of ['', 'a b', '/a', 'a/', 'é', 'a@b', 'x'.repeat(256)]) expect(isSnapshotName(bad), bad).toBe(false);
});

test('what a Dockerfile says of its bases and its entrypoint', () => {
  const text = 'ARG X\nfrom --platform=linux/amd64 paddock/slim:1 AS a\n  FROM a\n# FROM no\nRUN echo FROM x\nFROM paddock/sandbox\nCOPY --from=a /x /y';
  expect(basesOf(text)).toEqual(['paddock/sandbox', 'paddock/slim:1']);
  expect(basesOf('ARG HOST=ghcr.io\nFROM unused\nFROM ${HOST}/a:1\nCOPY --from=quay.io/b:2 / /')).toEqual(['ghcr.io/a:1', 'quay.io/b:2']);
  expect(basesOf(Array.from({ length: 50_000 }, (_, index) => `FROM s${index} AS s${index + 1}`).join('\n'))).toEqual([]);
  expect(localBases(text)).toEqual({ 'paddock/slim:1': 'slim', 'paddock/sandbox': 'sandbox' });
  expect(entrypointOf('FROM a')).toEqual(['sleep', 'infinity']);
  expect(entrypointOf('FROM a\nENTRYPOINT ["x"]\nentrypoint ["y", "z"]')).toEqual(['y', 'z']);
  expect(entrypointOf('FROM a\nENTRYPOINT run me')).toEqual(['run me']);
  expect(entrypointOf('FROM a\nENTRYPOINT [1]')).toEqual(['[1]']);
  expect(entrypointOf('FROM a\r\nENTRYPOINT ["x", \\\r\n  # why\r\n  "y"]\r\n')).toEqual(['x', 'y']);
  expect(entrypointOf('FROM a AS one\nENTRYPOINT ["x"]\nFROM b\nCOPY --from=one / /')).toEqual(['sleep', 'infinity']);
  expect(entrypointOf('FROM a AS one\nENTRYPOINT ["x"]\nFROM one\nRUN true')).toEqual(['x']);
  expect(startedEntrypoint('FROM a\nENTRYPOINT ["x", "y z"]')).toEqual(['x', 'y z']);
  expect(startedEntrypoint('FROM a\nENTRYPOINT run me')).toEqual(['/bin/sh', '-c', 'run me']);
  expect(startedEntrypoint('FROM a\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT run me')).toEqual(['/bin/bash', '-c', 'run me']);
  expect([startedEntrypoint('FROM a'), startedEntrypoint('FROM a\nENTRYPOINT []'), startedEntrypoint('FROM a\nENTRYPOINT ["sleep", "infinity"]')]).toEqual([null, null, null]);
  expect(runnableEntrypoint(['sleep', 'infinity'])).toBeNull();
  expect(runnableEntrypoint(['x'])).toEqual(['x']);
});

test('a build is its text and its contexts, in whatever order', () => {
  const hash = (dockerfile: string, ...contextHashes: string[]) => buildHash({ dockerfile, contextHashes });
  expect(hash('FROM a', 'x', 'y')).toBe(hash('FROM a', 'y', 'x'));
  expect(new Set([hash('FROM a'), hash('FROM b'), hash('FROM a', 'x')]).size).toBe(3);
});
