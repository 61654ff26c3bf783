import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseCidrList } from '../src/sandboxes/cidr-list.ts';
import { parseCreate } from '../src/sandboxes/create-request.ts';

/** What `POST /sandbox` accepts and how it refuses the rest. */
const ok = (body: unknown) => {
  const parsed = parseCreate(body);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.value;
};
const refused = (body: unknown) => {
  const parsed = parseCreate(body);
  return 'problem' in parsed ? ([parsed.status, parsed.problem] as const) : null;
};

test('an empty body, nulls and unknown fields are a default sandbox', () => {
  const defaults = ok({});
  expect(defaults).toMatchObject({ name: null, snapshot: null, target: null, autoStopInterval: 15, autoArchiveInterval: 10_080, autoDeleteInterval: -1 });
  expect(ok(undefined)).toEqual(defaults);
  expect(ok({ name: null, snapshot: '', env: null, cpu: null, volumes: [], secrets: [], gpuType: [], kvm: true, unheardOf: { of: 1 } })).toEqual(defaults);
});

test('three different zeros', () => {
  expect(ok({ autoStopInterval: 0, autoArchiveInterval: 0, autoDeleteInterval: 0 })).toMatchObject({ autoStopInterval: 0, autoArchiveInterval: 43_200, autoDeleteInterval: 0 });
  expect(ok({ autoArchiveInterval: 99_999, autoDeleteInterval: -7 })).toMatchObject({ autoArchiveInterval: 43_200, autoDeleteInterval: -1 });
});

test.each([
  [{ name: '<b>x</b>' }, 'name must not contain HTML tags'],
  [{ name: 'see http://x.test' }, 'name must not contain URLs'],
  [{ name: 'a\nb' }, 'name must not contain control characters'],
  [{ name: 'x'.repeat(256) }, 'name must be shorter than or equal to 255 characters'],
  [{ name: 7 }, 'name must be a string'],
  [{ env: { 'A=B': 'x' } }, 'env: "A=B" is not a name for an environment variable'],
  [{ env: { A: 1 } }, 'env must have string values'],
  [{ env: { A: 'x'.repeat(200_000) } }, 'env: "A" must not be larger than 131071 bytes'],
  [{ env: [] }, 'env must be an object'],
  [{ labels: 'x' }, 'labels must be an object'],
  [{ labels: { a: null } }, 'labels must have string values'],
  [{ public: 'yes' }, 'public must be a boolean value'],
  [{ autoStopInterval: -1 }, 'autoStopInterval must not be less than 0'],
  [{ autoStopInterval: 1.5 }, 'autoStopInterval must be an integer number'],
  [{ autoStopInterval: 3_000_000_000 }, 'autoStopInterval must not be greater than 2147483647'],
  [{ cpu: 0.5 }, 'cpu must be an integer number'],
  [{ cpu: 2 }, 'Cannot specify Sandbox resources when using a snapshot'],
  [{ gpuType: ['H100'] }, 'Cannot specify Sandbox resources when using a snapshot'],
  [{ snapshot: 'a', buildInfo: { dockerfileContent: 'FROM x' } }, 'Cannot specify both a snapshot and a build info entry'],
  [{ buildInfo: { dockerfileContent: 'FROM x' }, linkedSandbox: 's' }, 'Cannot specify both a linked sandbox and a build info entry'],
  [{ buildInfo: 'FROM x' }, 'buildInfo must be an object, buildInfo.dockerfileContent should not be empty'],
  [{ buildInfo: { dockerfileContent: 'RUN true' } }, 'buildInfo.dockerfileContent must have a FROM instruction'],
  [{ buildInfo: { dockerfileContent: 'FROM x', contextHashes: ['../other'] } }, 'buildInfo.contextHashes must hold hashes of uploaded contexts'],
  [{ buildInfo: { dockerfileContent: 'FROM x' }, gpu: 1 }, 'No available runners with GPUs'],
  [{ networkAllowList: '10.0.0.1' }, 'networkAllowList: "10.0.0.1" is not an IPv4 CIDR block such as 192.0.2.0/24'],
  [{ name: 1, public: 2 }, 'name must be a string, public must be a boolean value'],
  ['text', 'The body must be a JSON object'],
])('400 for %j', (body, problem) => {
  expect(refused(body)).toEqual([400, problem]);
});

test.each([
  [{ linkedSandbox: 'x' }], [{ secrets: [{ A: 'b' }] }],
  [{ domainAllowList: 'example.com' }], [{ outboundProxyUrl: 'http://x' }],
])('501 for %j: to ignore it would pretend', (body) => {
  expect(refused(body)?.[0]).toBe(501);
});

test('with something to build resources are allowed, and zero stands for the default', () => {
  const buildInfo = { dockerfileContent: 'FROM x', contextHashes: ['b', 'a'] };
  expect(ok({ buildInfo, cpu: 2, memory: 0 }).build).toEqual({ dockerfile: 'FROM x', contextHashes: ['b', 'a'], cpu: 2, memoryGiB: 1, diskGiB: 3 });
});

test('zero resources pass beside a snapshot', () => {
  expect(ok({ snapshot: 's', cpu: 0, memory: 0, disk: 0, gpu: 0 }).snapshot).toBe('s');
});

test('a CIDR list holds at most ten IPv4 blocks', () => {
  expect(parseCidrList(' 10.0.0.0/8, 192.0.2.1/32 ')).toEqual({ list: ['10.0.0.0/8', '192.0.2.1/32'] });
  expect(parseCidrList('')).toEqual({ list: [] });
  for (const wrong of ['10.0.0.0', '10.0.0.0/33', '256.0.0.0/8', '10.0.0/8', 'fe80::/10', '010.0.0.0/8', '1.2.3.4/8/9', '1.2.3.4/+8', Array(11).fill('10.0.0.0/8').join()]) {
    expect(parseCidrList(wrong), wrong).toHaveProperty('problem');
  }
});

test('no body makes it throw', () => {
  fc.assert(fc.property(fc.jsonValue(), (body) => {
    const parsed = parseCreate(body);
    expect('problem' in parsed || 'value' in parsed).toBe(true);
  }));
});
