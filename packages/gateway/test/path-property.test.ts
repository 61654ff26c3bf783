import fc from 'fast-check';
import { expect, test } from 'vitest';
import { previewPath, toolboxPath } from '../src/path.ts';

const PIECES = [
  'init', 'INIT', '%69nit', 'in%69t', '%2569nit', '..', '.', '%2e', '%2E%2e', '.%2e', '/', '//', '%2f', '%2F', '\\', '%5c', 'proxy', '%70roxy', '2280', '02280', '+2280', '3000', ';', ';a=b', '%3b', '#', '%20',
  '%00', '%', '%zz', 'files', 'é', '%c3%a9', '%ff',
];
const paths = fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((parts) => `/${parts.join('')}`);

/** How a careless router may see a path: decoded as a whole, dot segments resolved, slashes merged, parameters and case dropped. */
function careless(path: string): string {
  const out: string[] = [];
  for (const part of decodeURIComponent(path).split(/[\\/]+/)) {
    const name = (part.split(';')[0] ?? '').trim().toLowerCase();
    if (name === '..') out.pop();
    else if (name !== '.' && name !== '') out.push(name);
  }
  return `/${out.join('/')}`;
}

test('no spelling of a toolbox path that is forwarded means /init, or the toolbox behind its own proxy', () => {
  fc.assert(fc.property(paths, (path) => {
    const target = toolboxPath(path);
    if (!target.ok) return;
    expect(target.path.startsWith('/')).toBe(true);
    expect(new URL(target.path, 'http://x').pathname).not.toMatch(/^\/(init|proxy\/2280(\/.*)?)\/?$/i);
    if (target.appPort === null) expect(careless(target.path)).not.toMatch(/^\/(init$|proxy(\/|$))/);
    else expect(new URL(target.path, 'http://x').pathname.startsWith(`/proxy/${target.appPort}/`)).toBe(true);
  }), { numRuns: 20_000 });
});

test('no spelling of an app\'s path leaves the app', () => {
  fc.assert(fc.property(paths, (path) => {
    const target = previewPath(3000, path);
    if (!target.ok) throw new Error('refused');
    expect(new URL(target.path, 'http://x').pathname.startsWith('/proxy/3000/')).toBe(true);
    expect(target.path.startsWith('/proxy/3000/')).toBe(true);
  }), { numRuns: 20_000 });
});

test('ordinary paths are not touched', () => {
  const plain = fc.array(fc.stringMatching(/^[a-z0-9_~!$&'()*+,;=:@-]{1,8}$/), { minLength: 1, maxLength: 6 }).map((parts) => `/${parts.map(encodeURI).join('/')}`);
  fc.assert(fc.property(plain, (path) => {
    const target = previewPath(3000, path);
    expect(target).toMatchObject({ ok: true, path: `/proxy/3000${path}` });
  }));
});
