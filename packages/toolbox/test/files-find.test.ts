import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

test('find: literal text, line numbers, below a directory or in one file', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec(`mkdir -p s/a; printf 'one\\nt.o x\\r\\nthree t.o' > s/a/f; printf 'two\\n' > s/g; printf 't.o' > s/z`);
  const find = async (path: string, pattern: string) => (await toolbox.get(`/files/find?path=${path}&pattern=${encodeURIComponent(pattern)}`)).json;
  expect(await find('s', 't.o')).toEqual([{ file: 's/a/f', line: 2, content: 't.o x' }, { file: 's/a/f', line: 3, content: 'three t.o' }, { file: 's/z', line: 1, content: 't.o' }]);
  expect(await find(`${toolbox.dir}/s/g`, 'w')).toEqual([{ file: `${toolbox.dir}/s/g`, line: 1, content: 'two' }]);
  expect(await find('./s/../s', 'one')).toEqual([{ file: 's/a/f', line: 1, content: 'one' }]);
  expect(await find('missing', 'x')).toEqual([]);
  expect((await toolbox.get('/files/find?path=s')).status).toBe(400);
});

test('find passes over binaries, closed files, links and pipes, and ends a file at a line over 64 KiB', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec(`
    printf 'needle\\0' > binary; head -c 600 /dev/zero | tr '\\0' x > late; printf '\\0needle\\n' >> late
    echo needle > closed; chmod 0 closed; mkdir d; chmod 0 d; echo needle > real; ln -s real link; ln -s . loop; mkfifo pipe
    (echo needle; head -c 70000 /dev/zero | tr '\\0' y; echo; echo needle) > long`);
  const { json } = await toolbox.get('/files/find?path=.&pattern=needle');
  expect(json.map((match: { file: string; line: number }) => `${match.file}:${match.line}`)).toEqual(['late:1', 'long:1', 'real:1']);
});

test('find through lines that span reads', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec(`python3 -c "
for i in range(30000): print('x' * (i % 97) + ('needle' if i % 1000 == 7 else '') + 'y' * 13)
" > f`);
  const { json } = await toolbox.get('/files/find?path=f&pattern=needle');
  expect(json.map((match: { line: number }) => match.line)).toEqual(Array.from({ length: 30 }, (_, at) => at * 1000 + 8));
});

test('find with very many matches streams, and other requests are served meanwhile', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('seq 1 1000000 > f');
  const finding = toolbox.get('/files/find?path=f&pattern=1');
  expect(await Promise.race([finding.then(() => 'find'), toolbox.get('/version').then(() => 'version')])).toBe('version');
  expect((await finding).json.length).toBeGreaterThan(400_000);
});

test('search: globs on base names, directories included', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('mkdir -p s/sub.py s/x; touch s/a.py s/b.txt s/x/c.py s/x/.d.py "s/[z]"; ln -s ../.. s/x/up');
  const search = async (path: string, pattern: string) => (await toolbox.get(`/files/search?path=${path}&pattern=${encodeURIComponent(pattern)}`)).json;
  expect(await search('s', '*.py')).toEqual({ files: ['s/a.py', 's/sub.py', 's/x/.d.py', 's/x/c.py'] });
  expect(await search('s', '[ab].*')).toEqual({ files: ['s/a.py', 's/b.txt'] });
  expect(await search('s', '\\[z\\]')).toEqual({ files: ['s/[z]'] });
  expect(await search(`${toolbox.dir}/s`, '?')).toEqual({ files: [`${toolbox.dir}/s/x`] });
  expect(await search('s', '**/*.py')).toEqual({ files: [] });
  expect(await search('missing', '*')).toEqual({ files: [] });
  expect((await toolbox.get('/files/search?path=s&pattern=%5B')).status).toBe(400);
});
