import { expect, test } from 'vitest';
import { eventually, startToolbox, type Reply, type Toolbox } from './toolbox.ts';

const WHO = { author: 'Ann Öne', email: 'ann@example.com' };
const verdict = (reply: Reply): unknown => (reply.status < 400 ? reply.status : [reply.status, reply.json.code]);

/** A toolbox with the repository `r` on branch `main`, which holds what the script made. */
async function repository(script = ''): Promise<{ toolbox: Toolbox; git: (script: string) => Promise<string> }> {
  const toolbox = await startToolbox();
  expect(verdict(await toolbox.post('/git/init', { path: 'r', initial_branch: 'main' }))).toBe(201);
  const git = async (text: string): Promise<string> => (await toolbox.exec(text, { cwd: 'r' })).json.result;
  if (script !== '') expect(await git(`set -e; git config user.name x; git config user.email x@y; ${script}; git add -A; git commit -qm base`)).toBe('');
  return { toolbox, git };
}

test('a new repository has a branch without a commit', async () => {
  const { toolbox, git } = await repository();
  await git('echo 1 > f');
  expect((await toolbox.get('/git/status?path=r')).json).toEqual({ currentBranch: 'main', branchPublished: false, ahead: 0, behind: 0, fileStatus: [{ name: 'f', extra: '', staging: 'Untracked', worktree: 'Untracked' }] });
  expect((await toolbox.get('/git/history?path=r')).json).toEqual([]);
  expect((await toolbox.get('/git/branches?path=r')).json).toEqual({ branches: [], current: 'main' });
  expect(verdict(await toolbox.post('/git/init', { path: 'r', initial_branch: 'other' }))).toBe(201);
  expect((await toolbox.get('/git/branches?path=r')).json.current).toBe('main');
  expect(verdict(await toolbox.post('/git/init', { path: 'deep/bare.git', bare: true }))).toBe(201);
  expect((await toolbox.get('/git/branches?path=deep/bare.git')).json.branches).toEqual([]);
  expect(verdict(await toolbox.get('/git/status?path=deep/bare.git'))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
});

test('every kind of change has its words', async () => {
  const { toolbox, git } = await repository('for f in mod del ren staged "with space" both; do seq 20 > "$f"; done; ln -s mod link');
  await git('echo x >> mod; rm del; git mv ren "new näme"; echo x >> staged; git add staged; echo x >> "with space"; echo x >> both; git add both; echo y >> both; echo n > added; git add added; mkdir d; echo u > d/untracked; printf u > "line\nbreak"; rm link; echo file > link; echo ignored > .gitignore; git add .gitignore; echo i > ignored');
  const files = (await toolbox.get('/git/status?path=r')).json.fileStatus as { name: string; extra: string; staging: string; worktree: string }[];
  expect(Object.fromEntries(files.map(({ name, extra, staging, worktree }) => [name, extra === '' ? [staging, worktree] : [staging, worktree, extra]]))).toEqual({
    mod: ['Unmodified', 'Modified'], del: ['Unmodified', 'Deleted'], 'new näme': ['Renamed', 'Unmodified', 'ren'], staged: ['Modified', 'Unmodified'],
    'with space': ['Unmodified', 'Modified'], both: ['Modified', 'Modified'], added: ['Added', 'Unmodified'], 'd/untracked': ['Untracked', 'Untracked'],
    'line\nbreak': ['Untracked', 'Untracked'], link: ['Unmodified', 'Modified'], '.gitignore': ['Added', 'Unmodified'],
  });
});

test('a status of 30,000 files arrives whole', async () => {
  const { toolbox, git } = await repository();
  await git('mkdir d && cd d && seq -f "a-rather-long-file-name-%g" 30000 | xargs touch');
  expect((await toolbox.get('/git/status?path=r')).json.fileStatus.length).toBe(30_000);
});

test('add, commit and history keep every byte of the message', async () => {
  const { toolbox, git } = await repository();
  await git('echo 1 > f; echo 2 > ":odd"; echo 3 > "-x"; echo 4 > "a[1]"; echo gone > gone');
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: [':odd', '-x', 'a[1]', 'gone'] }))).toBe(200);
  const message = 'Title — ü\n\n# not a comment\n  indented  \n\n\nlast';
  const first = await toolbox.post('/git/commit', { path: 'r', message, ...WHO });
  expect(first.json).toEqual({ hash: expect.stringMatching(/^[0-9a-f]{40}$/) });
  await git('rm gone');
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: ['.'] }))).toBe(200);
  const second = await toolbox.post('/git/commit', { path: 'r', message: 'two\n', ...WHO });
  const history = (await toolbox.get('/git/history?path=r')).json;
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/);
  expect(history).toEqual([
    { hash: second.json.hash, author: WHO.author, email: WHO.email, message: 'two', timestamp: time },
    { hash: first.json.hash, author: WHO.author, email: WHO.email, message, timestamp: time },
  ]);
  expect(await git('git log -1 --format="%cn %ce"; git ls-files')).toBe(`${WHO.author} ${WHO.email}\n-x\n:odd\na[1]\nf\n`);
});

test('a commit of nothing is refused unless it may be empty', async () => {
  const { toolbox } = await repository('echo 1 > f');
  const reply = await toolbox.post('/git/commit', { path: 'r', message: 'm', ...WHO });
  expect([reply.status, reply.json.message]).toEqual([400, expect.stringContaining('nothing to commit')]);
  expect(verdict(await toolbox.post('/git/commit', { path: 'r', message: 'm', ...WHO, allow_empty: true }))).toBe(200);
  for (const bad of [{ message: '' }, { author: '' }, { email: '' }, { author: '<>' }, { allow_empty: 'yes' }]) {
    expect((await toolbox.post('/git/commit', { path: 'r', message: 'm', allow_empty: true, ...WHO, ...bad })).status).toBe(400);
  }
});

test('thousands of paths are added at once', async () => {
  const { toolbox, git } = await repository();
  const names = Array.from({ length: 5000 }, (_, at) => `some-file-with-a-name-${at}`);
  await git(`touch ${names.join(' ')}`);
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: names }))).toBe(200);
  expect(await git('git ls-files | wc -l')).toBe('5000\n');
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: ['missing'] }))).toEqual([400, 'BAD_REQUEST']);
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: ['/etc/passwd'] }))).toEqual([400, 'BAD_REQUEST']);
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: [] }))).toBe(200);
  expect(verdict(await toolbox.post('/git/add', { path: 'r' }))).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test('branches are created, checked out and deleted', async () => {
  const { toolbox, git } = await repository('echo 1 > f');
  const del = (name: string) => toolbox.send('DELETE', '/git/branches', { body: JSON.stringify({ path: 'r', name }) });
  expect(verdict(await toolbox.post('/git/branches', { path: 'r', name: 'feature/ü' }))).toBe(201);
  expect((await toolbox.get('/git/branches?path=r')).json).toEqual({ branches: ['feature/ü', 'main'], current: 'feature/ü' });
  expect(verdict(await toolbox.post('/git/branches', { path: 'r', name: 'main' }))).toEqual([409, 'GIT_BRANCH_EXISTS']);
  expect(verdict(await del('feature/ü'))).toEqual([409, 'CONFLICT']);
  await git('echo 2 > f; git commit -qam two');
  expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch: 'main' }))).toBe(200);
  expect(verdict(await del('feature/ü'))).toBe(204);
  expect(verdict(await del('feature/ü'))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  await git('git branch f; git tag main');
  expect((await toolbox.get('/git/branches?path=r')).json).toEqual({ branches: ['f', 'main'], current: 'main' });
  expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch: 'f' }))).toBe(200);
  const hash = (await git('git rev-parse HEAD')).trim();
  expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch: hash }))).toBe(200);
  expect((await toolbox.get('/git/branches?path=r')).json).toEqual({ branches: ['f', 'main'] });
  expect((await toolbox.get('/git/status?path=r')).json).toMatchObject({ currentBranch: 'HEAD', detached: true });
  for (const branch of ['none', '1'.repeat(40), 'README']) expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
});

test('names that could be options or shorthands are refused', async () => {
  const { toolbox } = await repository('echo 1 > f');
  const refused = [400, 'INVALID_REQUEST_BODY'];
  for (const name of ['-f', '--orphan', '@{-1}', '-', 'HEAD', 'a..b', 'a b', 'a\0', 'x.lock', '/a', 'a/', '']) {
    expect(verdict(await toolbox.post('/git/branches', { path: 'r', name }))).toEqual(refused);
    expect(verdict(await toolbox.send('DELETE', '/git/branches', { body: JSON.stringify({ path: 'r', name }) }))).toEqual(refused);
  }
  for (const branch of ['-', '--detach', '-b', 'a\nb']) expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch }))).toEqual(refused);
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', target: '--hard' }))).toEqual(refused);
  expect(verdict(await toolbox.post('/git/push', { path: 'r', remote: '--receive-pack=touch x' }))).toEqual(refused);
  expect(verdict(await toolbox.post('/git/clone', { path: 'x', url: '--upload-pack=touch x' }))).toEqual(refused);
  expect(verdict(await toolbox.post('/git/clone', { path: 'x', url: 'ext::sh -c "touch x"' }))).toEqual([400, 'BAD_REQUEST']);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'r', name: '-f', url: 'x' }))).toEqual(refused);
  expect((await toolbox.exec('ls')).json.result).toBe('r\n');
});

test('a checkout over local changes is a 409 that keeps them', async () => {
  const { toolbox, git } = await repository('echo 1 > f');
  await git('git checkout -qb dev; echo 2 > f; echo n > n; git add n; git commit -qam two; git checkout -q main; echo mine > f');
  expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch: 'dev' }))).toEqual([409, 'GIT_DIRTY_WORKTREE']);
  await git('git checkout -q f; echo mine > n');
  expect(verdict(await toolbox.post('/git/checkout', { path: 'r', branch: 'dev' }))).toEqual([409, 'GIT_DIRTY_WORKTREE']);
  expect(await git('cat n')).toBe('mine\n');
});

test('reset in its modes, and by files', async () => {
  const { toolbox, git } = await repository('echo 1 > f; echo 1 > g');
  await git('echo 2 > f; echo 2 > g; git commit -qam two');
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', mode: 'soft', target: 'HEAD~1' }))).toBe(200);
  expect(await git('git diff --cached --name-only')).toBe('f\ng\n');
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', files: ['f'] }))).toBe(200);
  expect(await git('git diff --cached --name-only; cat f')).toBe('g\n2\n');
  expect(verdict(await toolbox.post('/git/reset', { path: 'r' }))).toBe(200);
  expect(await git('git diff --cached --name-only; cat g')).toBe('2\n');
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', mode: 'hard' }))).toBe(200);
  expect(await git('cat f g')).toBe('1\n1\n');
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', target: 'none' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', mode: 'gentle' }))).toEqual([400, 'INVALID_REQUEST_BODY']);
  expect(verdict(await toolbox.post('/git/reset', { path: 'r', mode: 'hard', files: ['f'] }))).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test('restore of the work tree, the index, both, and from a commit', async () => {
  const { toolbox, git } = await repository('echo 1 > f');
  await git('echo 2 > f; git commit -qam two; echo 3 > f; git add f; echo 4 > f');
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['f'] }))).toBe(200);
  expect(await git('cat f')).toBe('3\n');
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['f'], staged: true }))).toBe(200);
  expect(await git('cat f; git diff --cached')).toBe('3\n');
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['.'], staged: true, worktree: true }))).toBe(200);
  expect(await git('cat f')).toBe('2\n');
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['f'], source: 'HEAD~1' }))).toBe(200);
  expect(await git('cat f')).toBe('1\n');
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['none'] }))).toEqual([400, 'BAD_REQUEST']);
  expect(verdict(await toolbox.post('/git/restore', { path: 'r', files: ['f'], source: 'none' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  for (const bad of [{ files: [] }, {}, { files: ['f'], staged: false, worktree: false }]) expect((await toolbox.post('/git/restore', { path: 'r', ...bad })).status).toBe(400);
});

test('configuration in its scopes', async () => {
  const { toolbox, git } = await repository();
  const value = async (query: string) => (await toolbox.get(`/git/config?${query}`)).json;
  expect(await value('key=user.name')).toEqual({ value: null });
  expect(verdict(await toolbox.post('/git/config', { key: 'user.name', value: '-x "ü"\ny' }))).toBe(200);
  expect(await value('key=user.name&scope=global')).toEqual({ value: '-x "ü"\ny' });
  expect(await value('key=user.name&path=r')).toEqual({ value: null });
  expect(verdict(await toolbox.post('/git/config', { key: 'a.b c.d', value: '', scope: 'local', path: 'r' }))).toBe(200);
  expect(await value('key=a.b%20c.d&path=r&scope=local')).toEqual({ value: '' });
  await git('git config --add m.v 1; git config --add m.v 2');
  expect(verdict(await toolbox.post('/git/config', { key: 'm.v', value: '3', path: 'r' }))).toBe(200);
  expect(await git('git config --get-all m.v')).toBe('3\n');
  expect(verdict(await toolbox.post('/git/config/user', { name: 'N', email: 'e@f', scope: 'local', path: 'r' }))).toBe(200);
  expect(await git('git config --local user.name; git config --local user.email')).toBe('N\ne@f\n');
  expect(await value('key=user.name&scope=system')).toEqual({ value: null });
  for (const query of ['key=user', 'key=-f.x', 'key=', 'key=a.b&scope=none', 'key=a.b&scope=local']) expect((await toolbox.get(`/git/config?${query}`)).status).toBe(400);
  expect(verdict(await toolbox.get('/git/config?key=a.b&scope=local&path=none'))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/config', { key: 'a.b' }))).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test('the system configuration belongs to root', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  expect(verdict(await toolbox.post('/git/config', { key: 'a.b', value: 'c', scope: 'system' }))).toEqual([403, 'FILE_ACCESS_DENIED']);
});

test('only the root of a repository is one, whoever owns it', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('git init -q r; mkdir -p r/sub r/broken/.git');
  for (const path of ['r/sub', 'r/broken', 'none', '/etc/passwd', '/']) expect(verdict(await toolbox.get(`/git/status?path=${path}`))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.get('/git/status'))).toEqual([400, 'BAD_REQUEST']);
  const foreign = await startToolbox({ uid: 1235 });
  expect((await foreign.get(`/git/status?path=${toolbox.dir}/r`)).status).toBe(200);
});

test('the sandbox\'s git variables and language change nothing', async () => {
  const toolbox = await startToolbox({ env: { GIT_DIR: '/nowhere', GIT_WORK_TREE: '/', GIT_TRACE_CURL: '1', GIT_INDEX_FILE: '/x', LC_ALL: 'de_DE.UTF-8', LANGUAGE: 'de', GIT_ASKPASS: '/bin/false', GIT_EDITOR: 'sleep 100' } });
  expect(verdict(await toolbox.post('/git/init', { path: 'r' }))).toBe(201);
  expect((await toolbox.get('/git/status?path=r')).status).toBe(200);
});

test('changes of one repository at once wait for one another', async () => {
  const { toolbox, git } = await repository('echo 1 > f');
  await git('touch $(seq 30)');
  const replies = await Promise.all(Array.from({ length: 30 }, (_, at) => [
    toolbox.post('/git/add', { path: 'r', files: [String(at + 1)] }), toolbox.get('/git/status?path=r'),
    toolbox.post('/git/commit', { path: 'r', message: `${at}`, allow_empty: true, ...WHO }),
  ]).flat());
  expect(replies.map(verdict).filter((status) => status !== 200)).toEqual([]);
  expect((await toolbox.get('/git/history?path=r')).json.length).toBe(31);
  await git('touch .git/index.lock');
  expect(verdict(await toolbox.post('/git/add', { path: 'r', files: ['f'] }))).toEqual([409, 'CONFLICT']);
});

test('a local hook that fails is a 400 with its words; one that leaves a process behind delays nothing', async () => {
  const { toolbox, git } = await repository('echo 1 > f');
  await git(`printf '#!/bin/sh\\necho not so fast > /dev/stderr; exit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit`);
  const reply = await toolbox.post('/git/commit', { path: 'r', message: 'm', ...WHO, allow_empty: true });
  expect([reply.status, reply.json.message]).toEqual([400, 'bad request: not so fast']);
  await git(`printf '#!/bin/sh\\nsleep 47.11 & exit 0\\n' > .git/hooks/pre-commit`);
  const start = performance.now();
  expect(verdict(await toolbox.post('/git/commit', { path: 'r', message: 'm', ...WHO, allow_empty: true }))).toBe(200);
  expect(performance.now() - start).toBeLessThan(3000);
  await toolbox.exec('pkill -f "^sleep 47.11"');
});

test('an image without git says so', async () => {
  const { toolbox } = await repository();
  await toolbox.post('/env', { set: { PATH: '/nowhere' } });
  const replies = await Promise.all([toolbox.get('/git/status?path=r'), toolbox.post('/git/init', { path: 'x' }), toolbox.post('/git/clone', { url: 'http://localhost:1/a', path: 'y' })]);
  for (const reply of replies) expect([reply.status, reply.json.message]).toEqual([422, expect.stringContaining('git is not installed')]);
});

test('no descriptor stays open and no process stays', async () => {
  const { toolbox } = await repository('echo 1 > f');
  const open = async () => Number((await toolbox.exec(`ls /proc/${toolbox.child.pid}/fd | wc -l`)).json.result);
  const round = () => Promise.all([toolbox.get('/git/status?path=r'), toolbox.get('/git/history?path=r'), toolbox.get('/git/branches?path=r'), toolbox.post('/git/clone', { url: './r', path: 'copy', username: 'a', password: 'b' }), toolbox.get('/git/config?key=a.b')]);
  await round();
  const before = await open();
  for (let at = 0; at < 20; at++) await round();
  await eventually(async () => (await open()) <= before + 2);
  expect((await toolbox.exec(`pgrep -c -P ${toolbox.child.pid} git`)).json.result).toBe('0\n');
});
