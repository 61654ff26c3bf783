import { describe, expect, it } from 'vitest';
import { readConfig, writeConfig } from '../src/registry-client/index.ts';

const NOTHING = { env: [], workDir: null, entrypoint: null, cmd: null, user: null, labels: {} };

describe('the configuration of an image', () => {
  it('is written as it was read', () => {
    const whole = {
      Env: ['A=b=c', 'E='], Entrypoint: ['/run'], Cmd: ['x'], WorkingDir: '/w', User: 'me:us', Labels: { a: 'b' }, OnBuild: ['RUN x'], Shell: ['/bin/bash', '-c'],
      ExposedPorts: { '80/tcp': {}, '53/udp': {} }, Volumes: { '/data': {} }, StopSignal: 'SIGINT', Healthcheck: { Test: ['CMD-SHELL', 'x'], Interval: 1, Timeout: 2, StartPeriod: 3, StartInterval: 4, Retries: 5 },
    };
    expect(writeConfig(readConfig(whole)!)).toEqual(whole);
  });

  it('may be absent, or hold nulls as Docker writes them', () => {
    for (const value of [undefined, null, [], 'text', 7, {}]) expect(readConfig(value)).toEqual(NOTHING);
    const nulls = { Env: null, Cmd: null, Entrypoint: null, Volumes: null, Labels: null, OnBuild: null, Shell: [], ExposedPorts: {}, Healthcheck: null, WorkingDir: '', User: '', StopSignal: '' };
    expect(readConfig(nulls)).toEqual(NOTHING);
  });

  it('counts what is of the wrong kind as absent', () => {
    expect(readConfig({
      Env: ['=x', 'novalue', 'A=1', 'B=\0'], Cmd: 'text', Entrypoint: [1], OnBuild: ['RUN a\0b'], Shell: { 0: '/bin/sh' }, ExposedPorts: ['80'], Volumes: 'x', StopSignal: 9,
      Labels: { a: 1, b: 'kept', c: null }, User: ['root'], WorkingDir: {}, Healthcheck: { Test: 'x', Interval: 5 },
    })).toEqual({ ...NOTHING, labels: { b: 'kept' } });
    expect(readConfig({ Env: ['A=1', 'novalue', '=x'] })).toEqual({ ...NOTHING, env: ['A=1'] });
    expect(readConfig({ Healthcheck: { Test: ['NONE'], Interval: -1, Retries: 1.5, Timeout: '1s' } })).toEqual({ ...NOTHING, forBuilds: { healthcheck: { test: ['NONE'], times: {} } } });
  });

  it('is refused when it is too much to keep', () => {
    expect(readConfig({ Labels: { a: 'x'.repeat(900_000) } })).not.toBeNull();
    expect(readConfig({ Labels: { a: 'x'.repeat(1_100_000) } })).toBeNull();
  });
});
