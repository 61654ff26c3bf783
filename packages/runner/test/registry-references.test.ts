import { describe, expect, it } from 'vitest';
import { parseReference } from '../src/registry-client/index.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('references to images', () => {
  it.each([
    ['alpine', 'docker.io', 'library/alpine', 'latest'],
    ['alpine:3.20', 'docker.io', 'library/alpine', '3.20'],
    ['ann/tool', 'docker.io', 'ann/tool', 'latest'],
    ['index.docker.io/ann/tool:1', 'docker.io', 'ann/tool', '1'],
    ['registry-1.docker.io/library/alpine', 'docker.io', 'library/alpine', 'latest'],
    ['localhost/tool', 'localhost', 'tool', 'latest'],
    ['localhost:5000/a/b/c:x', 'localhost:5000', 'a/b/c', 'x'],
    ['GHCR.io/org/name', 'ghcr.io', 'org/name', 'latest'],
    ['registry:5000/tool', 'registry:5000', 'tool', 'latest'],
    ['[::1]:5000/tool:1', '[::1]:5000', 'tool', '1'],
    [`example.com/a__b/c-d.e@${DIGEST}`, 'example.com', 'a__b/c-d.e', DIGEST],
    [`example.com/tool:1.2@${DIGEST}`, 'example.com', 'tool', DIGEST],
  ])('%s', (text, host, repository, version) => {
    expect(parseReference(text)).toMatchObject({ host, repository, version });
  });

  it.each([
    '', ' ', 'UPPER/case/', 'a//b', '/a', 'a/', 'a:', 'a:b:c', 'a@sha256:12', `a@${DIGEST}@${DIGEST}`, `a@sha512:${'a'.repeat(128)}`, 'exa mple.com/a', 'a/../b', 'example.com/a/..', 'example.com/a?b',
    'http://example.com/a', 'user:pass@example.com/a', 'example.com:123456/a', `example.com/${'a'.repeat(300)}`, `a:${'t'.repeat(129)}`, 'a\nb', 'example.com/a%2fb', '-example.com/a', 'x'.repeat(2000),
  ])('%j is none', (text) => {
    expect(() => parseReference(text)).toThrow(/reference to an image/);
  });
});
