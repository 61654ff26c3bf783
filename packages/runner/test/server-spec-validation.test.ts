import { describe, expect, it } from 'vitest';
import { RunnerError } from '../src/runner-error.ts';
import { parseId, parsePatch, parseSpec, parseStop } from '../src/server/validate.ts';

const id = '5f0c0f6e-1111-4000-8000-000000000001';
const good = {
  id, image: 'slim', user: 'daytona', env: { A: 'b' }, cpu: 0.5, memoryGiB: 1, diskGiB: 3,
  network: { blockAll: false, allowList: ['10.0.0.0/8'] }, entrypoint: null, token: 't',
  volumes: [{ volumeId: id, driver: 'local', mountPath: '/data', subpath: 'a/b' }],
};

const mount = { volumeId: id, driver: 'local', mountPath: '/data', subpath: null };

function refused(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(RunnerError);
    expect((error as RunnerError).code).toBe('INVALID_SPEC');
    return (error as Error).message;
  }
  throw new Error('was accepted');
}

describe('a sandbox spec', () => {
  it('passes when every field is right', () => {
    expect(parseSpec(good, id)).toEqual(good);
  });

  it.each<[string, unknown]>([
    ['id', '../../etc'], ['image', 7], ['user', 'a\0b'], ['env', { 'A=B': 'x' }], ['env', { A: 1 }], ['env', { A: 'x\0' }], ['cpu', 0], ['cpu', Number.NaN],
    ['cpu', '1'], ['memoryGiB', -1], ['diskGiB', 1e300], ['network', { blockAll: false, allowList: ['10.0.0.0/33'] }],
    ['network', { blockAll: false, allowList: ['::/0'] }], ['network', { allowList: null }], ['entrypoint', 'sleep'], ['token', null],
    ['volumes', {}], ['volumes', [{ ...mount, volumeId: '../x' }]], ['volumes', [{ ...mount, driver: 'nfs' }]], ['volumes', [mount, mount]],
    ...['data', '/', '//', '/a//b', '/a/', '/a/../b', '/./a', '/a\0', `/${'a'.repeat(256)}`, `/${'a/'.repeat(2_100)}a`].map((mountPath): [string, unknown] => ['volumes', [{ ...mount, mountPath }]]),
    ...['', '/a', 'a/', 'a//b', '..', 'a/../..', './a', 'a\0', 7].map((subpath): [string, unknown] => ['volumes', [{ ...mount, subpath }]]),
  ])('is refused with a wrong %s: %j', (name, value) => {
    refused(() => parseSpec({ ...good, [name]: value }, id));
  });

  it.each(Object.keys(good))('is refused without %s', (name) => {
    const { [name as keyof typeof good]: _, ...rest } = good;
    expect(refused(() => parseSpec(rest, id))).toContain(name);
  });

  it('is refused with a field nobody knows', () => {
    expect(refused(() => parseSpec({ ...good, privileged: true }, id))).toContain('privileged');
  });

  it('must name the id of its path', () => {
    refused(() => parseSpec({ ...good, id: '5f0c0f6e-1111-4000-8000-000000000002' }, id));
  });
});

describe('other input', () => {
  it('ids are UUIDs and nothing else', () => {
    for (const text of ['', '..', 'a/b', id.toUpperCase(), `${id}x`, `${id}\n`]) refused(() => parseId(text));
    expect(parseId(id)).toBe(id);
  });

  it('a patch takes any part of what may change', () => {
    expect(parsePatch({ cpu: 2 })).toEqual({ cpu: 2 });
    refused(() => parsePatch({ image: 'other' }));
    refused(() => parsePatch([]));
  });

  it('a stop may come without a body', () => {
    expect(parseStop(undefined)).toEqual({});
    refused(() => parseStop({ force: 'yes' }));
  });
});
