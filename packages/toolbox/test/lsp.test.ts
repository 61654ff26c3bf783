import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { broughtServers } from './language-servers.ts';
import { eventually, startToolbox, type Reply, type Toolbox } from './toolbox.ts';

const verdict = (reply: Reply): unknown => (reply.status < 400 ? reply.status : [reply.status, reply.json.code]);
const names = (reply: Reply): string[] => reply.json.map((symbol: { name: string }) => symbol.name);

/** A toolbox that has the servers Paddock brings along, and a PATH without any other. */
async function withServers(env: Readonly<Record<string, string>> = {}): Promise<Toolbox> {
  const toolbox = await startToolbox({ env: { PADDOCK_LSP_DIR: broughtServers(), PATH: '/usr/bin:/bin', ...env } });
  await toolbox.exec('mkdir -p p/sub');
  writeFileSync(join(toolbox.dir, 'p/pets.py'), 'class Dog:\n    def bark(self):\n        return 1\n\nd = Dog()\nd.\n');
  writeFileSync(join(toolbox.dir, 'p/sub/other.py'), 'class Cat:\n    pass\n');
  writeFileSync(join(toolbox.dir, 'p/a b%20c.ts'), 'export class Greeter {\n  greet(): string { return ""; }\n}\nnew Greeter().\n');
  writeFileSync(join(toolbox.dir, 'p/plain.js'), 'function plainly() {}\n');
  return toolbox;
}

const query = (facts: Readonly<Record<string, string>>): string => Object.entries(facts).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');

test('python: start, symbols of a file and of the project, completions, stop', async () => {
  const toolbox = await withServers();
  const server = { languageId: 'python', pathToProject: 'p' };
  const uri = `file://${toolbox.dir}/p/pets.py`;
  expect(verdict(await toolbox.post('/lsp/start', server))).toBe(200);
  expect(verdict(await toolbox.post('/lsp/start', { ...server, pathToProject: `${toolbox.dir}/p` }))).toBe(200);
  expect(names(await toolbox.get(`/lsp/workspacesymbols?${query({ ...server, query: 'Cat' })}`))).toEqual(['Cat']);
  expect(verdict(await toolbox.post('/lsp/did-open', { ...server, uri }))).toBe(200);
  const symbols = await toolbox.get(`/lsp/document-symbols?${query({ ...server, uri })}`);
  expect(symbols.json).toEqual([
    { name: 'Dog', kind: 5, location: { uri, range: { start: { line: 0, character: 0 }, end: { line: 2, character: 16 } } } },
    { name: 'bark', kind: 6, location: { uri, range: { start: { line: 1, character: 4 }, end: { line: 2, character: 16 } } } },
    { name: 'd', kind: 13, location: { uri, range: { start: { line: 4, character: 0 }, end: { line: 4, character: 1 } } } },
  ]);
  const completions = await toolbox.post('/lsp/completions', { ...server, uri, position: { line: 5, character: 2 }, context: { triggerKind: 2, triggerCharacter: '.' } });
  expect(completions.json).toMatchObject({ isIncomplete: expect.any(Boolean), items: expect.arrayContaining([expect.objectContaining({ label: 'bark', kind: 2 })]) });
  for (const item of completions.json.items) for (const key of Object.keys(item)) expect(['label', 'kind', 'detail', 'documentation', 'sortText', 'filterText', 'insertText']).toContain(key);
  expect((await toolbox.post('/lsp/completions', { ...server, uri, position: { line: 0, character: 0 } })).json.items.length).toBeGreaterThan(10);
  expect(verdict(await toolbox.post('/lsp/did-close', { ...server, uri }))).toBe(200);
  expect(verdict(await toolbox.post('/lsp/stop', server))).toBe(200);
  expect((await toolbox.exec(`pgrep -c -P ${toolbox.child.pid} -f langserver`)).json.result).toBe('0\n');
  expect(verdict(await toolbox.get(`/lsp/document-symbols?${query({ ...server, uri })}`))).toEqual([400, 'LSP_SERVER_NOT_INITIALIZED']);
});

test.each(['typescript', 'javascript'])('%s: symbols and completions, also of files that were not opened', async (languageId) => {
  const toolbox = await withServers();
  const server = { languageId, pathToProject: 'p' };
  expect(verdict(await toolbox.post('/lsp/start', server))).toBe(200);
  const [wanted, file] = languageId === 'typescript' ? ['Greeter', 'a b%20c.ts'] : ['plainly', 'plain.js'];
  for (const uri of [`file://p/${file}`, `file://${toolbox.dir}/p/${file}`, `file://${toolbox.dir}/p/${encodeURIComponent(file)}`, `p/${file}`]) {
    const symbols = await toolbox.get(`/lsp/document-symbols?${query({ ...server, uri })}`);
    expect(symbols.json[0]).toMatchObject({ name: wanted, location: { uri: `file://${toolbox.dir}/p/${encodeURIComponent(file)}` } });
  }
  expect(verdict(await toolbox.post('/lsp/did-open', { ...server, uri: `file://p/${file}` }))).toBe(200);
  expect(names(await toolbox.get(`/lsp/workspacesymbols?${query({ ...server, query: wanted })}`))).toEqual([wanted]);
  if (languageId === 'typescript') {
    const { items } = (await toolbox.post('/lsp/completions', { ...server, uri: `file://p/${file}`, position: { line: 3, character: 14 } })).json;
    expect(items.map((item: { label: string }) => item.label)).toEqual(['greet']);
  }
  expect(verdict(await toolbox.post('/lsp/stop', server))).toBe(200);
});

test('symbols of a project are found without any file opened', async () => {
  const toolbox = await withServers();
  await toolbox.exec('mkdir -p q/src/deep; echo "export const farAway = 1" > q/src/deep/x.ts; echo "{}" > q/tsconfig.json');
  await toolbox.post('/lsp/start', { languageId: 'typescript', pathToProject: 'q' });
  expect(names(await toolbox.get('/lsp/workspacesymbols?languageId=typescript&pathToProject=q&query=farAway'))).toEqual(['farAway']);
});

test('what changes on disk after did-open is seen', async () => {
  const toolbox = await withServers();
  const server = { languageId: 'python', pathToProject: 'p' };
  await toolbox.post('/lsp/start', server);
  await toolbox.post('/lsp/did-open', { ...server, uri: 'file://p/pets.py' });
  writeFileSync(join(toolbox.dir, 'p/pets.py'), 'class Fox:\n    pass\n');
  expect(names(await toolbox.get(`/lsp/document-symbols?${query({ ...server, uri: 'file://p/pets.py' })}`))).toEqual(['Fox']);
});

test('requests without a server, for other languages and with bad fields are refused', async () => {
  const toolbox = await withServers();
  const server = { languageId: 'python', pathToProject: 'p' };
  const missing = [400, 'LSP_SERVER_NOT_INITIALIZED'];
  const uri = 'file://p/pets.py';
  for (const path of ['stop', 'did-open', 'did-close']) expect(verdict(await toolbox.post(`/lsp/${path}`, { ...server, uri }))).toEqual(missing);
  expect(verdict(await toolbox.post('/lsp/completions', { ...server, uri, position: { line: 0, character: 0 } }))).toEqual(missing);
  expect(verdict(await toolbox.get(`/lsp/workspacesymbols?${query({ ...server, query: 'x' })}`))).toEqual(missing);
  for (const bad of [{ languageId: 'go' }, { pathToProject: 'none' }, { pathToProject: 'p/pets.py' }]) expect(verdict(await toolbox.post('/lsp/start', { ...server, ...bad }))).toEqual([400, 'BAD_REQUEST']);
  for (const bad of [{ languageId: '' }, { pathToProject: null }, { languageId: 1 }]) expect(verdict(await toolbox.post('/lsp/start', { ...server, ...bad }))).toEqual([400, 'INVALID_REQUEST_BODY']);
  await toolbox.post('/lsp/start', server);
  for (const position of [undefined, null, 1, {}, { line: -1, character: 0 }, { line: 0, character: 1.5 }, { line: '0', character: 0 }]) {
    expect(verdict(await toolbox.post('/lsp/completions', { ...server, uri, position }))).toEqual([400, 'INVALID_REQUEST_BODY']);
  }
  expect(verdict(await toolbox.post('/lsp/did-open', { ...server, uri: 'file://p/none.py' }))).toEqual([404, 'FILE_NOT_FOUND']);
  expect(verdict(await toolbox.post('/lsp/did-open', { ...server, uri: 'file://p' }))).toEqual([400, 'BAD_REQUEST']);
  expect((await toolbox.post('/lsp/completions', { ...server, uri, position: { line: 9999, character: 9999 } })).status).toBeLessThan(500);
});

test('a server that dies is forgotten and can be started again', async () => {
  const toolbox = await withServers();
  const server = { languageId: 'typescript', pathToProject: 'p' };
  await toolbox.post('/lsp/start', server);
  await toolbox.exec(`pkill -9 -P ${toolbox.child.pid} -f 'tsc --lsp'`);
  await eventually(async () => (await toolbox.post('/lsp/did-close', { ...server, uri: 'x' })).status === 400);
  expect(verdict(await toolbox.post('/lsp/start', server))).toBe(200);
});

test('servers of the image come first, and one that does not start gives way to ours', async () => {
  const toolbox = await withServers({ PATH: '/tmp/paddock-lsp-image:/usr/bin:/bin' });
  await toolbox.exec('mkdir -p /tmp/paddock-lsp-image; printf "#!/bin/sh\\necho $0 >> ~/tried; exit 1\\n" > /tmp/paddock-lsp-image/typescript-language-server; chmod +x /tmp/paddock-lsp-image/*');
  onTestFinished(() => rmSync('/tmp/paddock-lsp-image', { recursive: true, force: true }));
  expect(verdict(await toolbox.post('/lsp/start', { languageId: 'typescript', pathToProject: 'p' }))).toBe(200);
  expect((await toolbox.exec('wc -l < tried')).json.result).toBe('1\n');
});

test('a server that speaks nonsense is ended', async () => {
  const toolbox = await startToolbox({ env: { PADDOCK_LSP_DIR: '/none', PATH: '/tmp/paddock-lsp-nonsense:/usr/bin:/bin' } });
  onTestFinished(() => rmSync('/tmp/paddock-lsp-nonsense', { recursive: true, force: true }));
  await toolbox.exec('mkdir -p /tmp/paddock-lsp-nonsense; printf "#!/bin/sh\\nyes nonsense\\n" > /tmp/paddock-lsp-nonsense/pylsp; chmod +x /tmp/paddock-lsp-nonsense/*');
  const reply = await toolbox.post('/lsp/start', { languageId: 'python', pathToProject: '.' });
  expect([reply.status, reply.json.message]).toEqual([400, expect.stringContaining('no language server for python')]);
  expect((await toolbox.exec('pgrep -cf "[y]es nonsense"')).json.result).toBe('0\n');
});

test('the end of the toolbox ends its servers', async () => {
  const toolbox = await withServers();
  await toolbox.post('/lsp/start', { languageId: 'typescript', pathToProject: 'p' });
  const { result } = (await toolbox.exec(`pgrep -P ${toolbox.child.pid} -f 'tsc --lsp'`)).json;
  await toolbox.stop();
  await eventually(() => {
    try {
      return process.kill(Number(result), 0) && false;
    } catch {
      return true;
    }
  });
});

test('no request is answered with a 5xx', async () => {
  const toolbox = await withServers();
  const server = { languageId: 'typescript', pathToProject: 'p' };
  await toolbox.post('/lsp/start', server);
  const value: fc.Arbitrary<unknown> = fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('', 'p', '.', '/', 'file://', 'file:///', 'file://p/plain.js', 'file://host/p', 'untitled:x', '%', 'file:///%00', '\0', 'x'.repeat(5000), '\ud800', 'typescript', 'go'),
    fc.string({ unit: 'binary', maxLength: 10 }), fc.integer(), fc.boolean(), fc.constant(null), fc.dictionary(fc.constantFrom('line', 'character', 'triggerKind', 'triggerCharacter'), fc.oneof(fc.integer(), fc.string())),
  );
  const fields = ['uri', 'position', 'context', 'query'] as const;
  const request = fc.tuple(fc.constantFrom('did-open', 'did-close', 'completions', 'document-symbols', 'workspacesymbols'), fc.record(Object.fromEntries(fields.map((field) => [field, value])), { requiredKeys: [] }), fc.boolean());
  await fc.assert(fc.asyncProperty(request, async ([route, body, known]) => {
    const all = { ...body, ...server, ...(known ? { uri: 'file://p/plain.js' } : {}) };
    const texts = Object.fromEntries(Object.entries(all).map(([name, item]) => [name, (typeof item === 'string' ? item : JSON.stringify(item) ?? '').toWellFormed()]));
    const reply = route.endsWith('symbols') ? await toolbox.get(`/lsp/${route}?${query(texts)}`) : await toolbox.post(`/lsp/${route}`, all);
    expect([route, all, reply.status, reply.status < 500 ? '' : reply.text]).toEqual([route, all, expect.toSatisfy((status: number) => status < 500), '']);
  }), { numRuns: Number(process.env['PADDOCK_FUZZ_RUNS'] ?? 300) });
  expect(verdict(await toolbox.post('/lsp/stop', server))).toBe(200);
});
