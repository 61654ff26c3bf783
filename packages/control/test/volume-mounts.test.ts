import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nestedMounts, parseMounts } from '../src/volumes/mounts.ts';

/** `volumes` of `POST /sandbox`: what is accepted, how it is normalised, how the rest is refused. */
const parse = (value: unknown) => {
  const problems: string[] = [];
  return { mounts: parseMounts(value, problems), problems };
};
const one = (mount: object) => parse([{ volumeId: 'v', mountPath: '/data', ...mount }]);

test.each([
  ['/data', '/data'], ['//data', '/data'], ['/data/', '/data'], ['/home/daytona/my data/é', '/home/daytona/my data/é'], ['/etcetera', '/etcetera'],
  ['/library', '/library'], ['/...', '/...'], ['/usr/lib/x', '/usr/lib/x'], ['/root', '/root'], ['/tmp/v', '/tmp/v'],
])('%s is mounted at %s', (mountPath, expected) => {
  expect(one({ mountPath })).toEqual({ problems: [], mounts: [{ reference: 'v', mountPath: expected, subpath: null }] });
});

test.each([
  ['', 'must be an absolute path'], ['data', 'must be an absolute path'], ['./data', 'must be an absolute path'], ['/', 'must not be the root directory'],
  ['//', 'must not be the root directory'], ['///', 'must not contain consecutive slashes'], ['///data', 'must not contain consecutive slashes'],
  ['/a//b', 'must not contain consecutive slashes'], ['/a/../b', 'must not contain . or .. segments'], ['/a/.', 'must not contain . or .. segments'],
  ['/..', 'must not contain . or .. segments'], ['/a/./', 'must not contain . or .. segments'], ['/a\0b', 'must not contain control characters'],
  ['/a\nb', 'must not contain control characters'], [`/${'é'.repeat(128)}`, 'must not have a segment of more than 255 bytes'],
  [`/${'a/'.repeat(2_100)}a`, 'must be shorter than 4095 bytes'], ['/\ud800', 'must be well-formed text'],
  ...['/proc', '/sys', '/dev', '/boot', '/etc', '/bin', '/sbin', '/lib', '/lib64'].flatMap((path): [string, string][] => [
    [path, `must not be in the system directory ${path}`], [`${path}/x/y`, `must not be in the system directory ${path}`], [`/${path}/`, `must not be in the system directory ${path}`],
  ]),
  ['/usr', 'must leave /usr/lib/paddock visible'], ['/usr/lib', 'must leave /usr/lib/paddock visible'], ['/usr/lib/paddock/node', 'must leave /usr/lib/paddock visible'],
])('400 for the mount path %j', (mountPath, problem) => {
  expect(one({ mountPath }).problems).toEqual([`volumes.0.mountPath ${problem}`]);
});

test.each([[undefined, null], [null, null], ['', null], ['users/alice', 'users/alice'], ['users/alice/', 'users/alice'], ['a b', 'a b'], ['...', '...']])('the subpath %j is %j', (subpath, expected) => {
  expect(one({ subpath }).mounts[0]?.subpath).toBe(expected);
});

test.each([
  ['/users', 'must be a relative path'], ['/', 'must be a relative path'], ['a//b', 'must not contain consecutive slashes'], ['..', 'must not contain . or .. segments'],
  ['a/../..', 'must not contain . or .. segments'], ['./a', 'must not contain . or .. segments'], ['a\0', 'must not contain control characters'], [7, 'must be a string'],
])('400 for the subpath %j', (subpath, problem) => {
  expect(one({ subpath }).problems).toEqual([`volumes.0.subpath ${problem}`]);
});

test('400 for what is no list of volumes', () => {
  expect(parse('v').problems).toEqual(['volumes must be an array']);
  expect(parse([7, null]).problems).toEqual(['volumes.0 must be an object', 'volumes.1 must be an object']);
  expect(parse([{}]).problems).toEqual(['volumes.0.volumeId must be the id or name of a volume', 'volumes.0.mountPath must be a string']);
  expect(one({ volumeId: '' }).problems).toEqual(['volumes.0.volumeId must be the id or name of a volume']);
  expect(parse([{ volumeId: 'a', mountPath: '/x' }, { volumeId: 'b', mountPath: '//x/' }]).problems).toEqual(['volumes: two volumes at the mount path /x']);
  expect(parse(Array.from({ length: 65 }, (_, index) => ({ volumeId: 'a', mountPath: `/x${index}` }))).problems).toEqual(['volumes must contain no more than 64 elements']);
});

test('what is accepted is normal and never in a system directory', () => {
  const segment = fc.constantFrom('', '.', '..', 'a', 'etc', 'proc', 'lib', 'data', '\0', ' ');
  fc.assert(fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
    const { mounts: [mount] } = one({ mountPath: segments.join('/') });
    if (mount) expect(mount.mountPath).toMatch(/^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/);
    if (mount) expect(mount.mountPath).not.toMatch(/^\/(proc|etc|lib)(\/|$)/);
  }), { numRuns: 2_000 });
});

test('a volume in another one is seen as such', () => {
  const at = (...paths: string[]) => nestedMounts(paths.map((mountPath) => ({ mountPath })));
  expect([at('/a', '/b'), at('/a', '/ab'), at('/a'), at('/a/b', '/a'), at('/a', '/x', '/a/b/c')]).toEqual([false, false, false, true, true]);
});
