import { existsSync } from 'node:fs';
import http from 'node:http';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startGitServer, type GitServer } from './git-server.ts';
import { eventually, startToolbox, type Reply, type Toolbox } from './toolbox.ts';

const WHO = { author: 'A', email: 'a@b.c' };
const verdict = (reply: Reply): unknown => (reply.status < 400 ? reply.status : [reply.status, reply.json.code]);

async function cloned(options = {}): Promise<{ server: GitServer; toolbox: Toolbox; url: string }> {
  const server = await startGitServer(options);
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a' }))).toBe(200);
  return { server, toolbox, url };
}

async function commit(toolbox: Toolbox, path: string, text: string): Promise<void> {
  await toolbox.exec(`printf %s '${text}' > ${path}`, { cwd: 'a' });
  await toolbox.post('/git/add', { path: 'a', files: ['.'] });
  expect((await toolbox.post('/git/commit', { path: 'a', message: path, ...WHO })).status).toBe(200);
}

test('clone by branch, by depth, and of a commit that no branch reaches', async () => {
  const server = await startGitServer();
  const url = server.repository('a.git');
  server.elsewhere('a.git', 'git commit -q --allow-empty -m second; git checkout -qb dev; echo d > d; git add d; git commit -qm dev; git tag v1; git checkout -q main; git branch -D dev -q; git push -q origin v1:refs/heads/dev');
  server.elsewhere('a.git', 'git checkout -qb gone; echo g > g; git add g; git commit -qm gone; git push -q origin gone; git rev-parse HEAD > ../gone-commit; git push -q origin :gone; git checkout -q main; git branch -qD gone');
  const toolbox = await startToolbox();
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'x/y/dev', branch: 'dev' }))).toBe(200);
  expect((await toolbox.exec('git branch -a; git rev-list --count HEAD; cat d', { cwd: 'x/y/dev' })).json.result).toBe('* dev\n  remotes/origin/dev\n3\nd\n');
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'flat', depth: 1 }))).toBe(200);
  expect((await toolbox.exec('git -C flat rev-list --count HEAD')).json.result).toBe('1\n');
  const lost = (await toolbox.exec(`cat ${server.root}/gone-commit`)).json.result.trim();
  for (const [path, depth] of [['lost', 0], ['lost-flat', 1]]) {
    expect(verdict(await toolbox.post('/git/clone', { url, path, depth, commit_id: lost }))).toBe(200);
    expect((await toolbox.get(`/git/status?path=${path}`)).json).toEqual({ currentBranch: 'HEAD', branchPublished: false, ahead: 0, behind: 0, detached: true, fileStatus: [] });
    expect((await toolbox.exec(`git -C ${path} rev-parse HEAD; cat ${path}/g`)).json.result).toBe(`${lost}\ng\n`);
  }
  for (const depth of [-1, 1.5, 1e20]) expect(verdict(await toolbox.post('/git/clone', { url, path: 'n', depth }))).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test('a clone that fails leaves nothing behind', async () => {
  const { server, toolbox, url } = await cloned();
  expect(verdict(await toolbox.post('/git/clone', { url: `${server.origin}/none.git`, path: 'b' }))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'b', branch: 'none' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'b', commit_id: '1'.repeat(40) }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  await toolbox.exec('mkdir there');
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'there', commit_id: '1'.repeat(40) }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect((await toolbox.exec('ls -A . there')).json.result).toBe('.:\na\nthere\n\nthere:\n');
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'there' }))).toBe(200);
});

test('a clone into what is there already is a conflict', async () => {
  const { toolbox, url } = await cloned();
  await toolbox.exec('echo x > f');
  for (const path of ['a', 'f', 'f/x', '.']) expect(verdict(await toolbox.post('/git/clone', { url, path }))).toEqual([409, 'CONFLICT']);
  const both = await Promise.all([1, 2].map(() => toolbox.post('/git/clone', { url, path: 'twice' })));
  expect(both.map(verdict)).toEqual([200, [409, 'CONFLICT']]);
  expect((await toolbox.exec('cat twice/README.md')).json.result).toBe('# hello\n');
});

test('an empty repository is cloned, filled and pushed', async () => {
  const server = await startGitServer();
  const url = server.repository('empty.git', {});
  const toolbox = await startToolbox();
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a' }))).toBe(200);
  expect((await toolbox.get('/git/status?path=a')).json).toMatchObject({ currentBranch: 'main', branchPublished: false, ahead: 0, behind: 0, fileStatus: [] });
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  await commit(toolbox, 'f', '1');
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toBe(200);
  expect((await toolbox.get('/git/status?path=a')).json).toMatchObject({ branchPublished: true, upstream: 'origin/main', ahead: 0 });
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toBe(200);
});

test('ahead and behind follow pushes and pulls', async () => {
  const { server, toolbox } = await cloned();
  const counts = async () => (({ branchPublished, ahead, behind, upstream }) => [branchPublished, ahead, behind, upstream])((await toolbox.get('/git/status?path=a')).json);
  await commit(toolbox, 'one', '1');
  await commit(toolbox, 'two', '2');
  expect(await counts()).toEqual([true, 2, 0, 'origin/main']);
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toBe(200);
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toBe(200);
  expect(await counts()).toEqual([true, 0, 0, 'origin/main']);
  server.elsewhere('a.git', 'echo 3 > three; git add .; git commit -qm three');
  await toolbox.exec('git -C a fetch -q');
  expect(await counts()).toEqual([true, 0, 1, 'origin/main']);
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toBe(200);
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toBe(200);
  expect(await counts()).toEqual([true, 0, 0, 'origin/main']);
  expect(verdict(await toolbox.post('/git/branches', { path: 'a', name: 'topic' }))).toBe(201);
  expect(await counts()).toEqual([false, 0, 0, undefined]);
  expect(verdict(await toolbox.post('/git/push', { path: 'a', set_upstream: true }))).toBe(200);
  expect(await counts()).toEqual([true, 0, 0, 'origin/topic']);
});

test('a push that is not a fast-forward is rejected, and a pull resolves it', async () => {
  const { server, toolbox } = await cloned();
  server.elsewhere('a.git', 'echo 3 > three; git add .; git commit -qm three');
  await commit(toolbox, 'one', '1');
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toEqual([409, 'GIT_PUSH_REJECTED']);
  await toolbox.exec('git config --global user.useConfigOnly true');
  const anonymous = await toolbox.post('/git/pull', { path: 'a' });
  expect([anonymous.status, anonymous.json.message]).toEqual([400, expect.stringContaining('user.email')]);
  expect((await toolbox.get('/git/status?path=a')).json.fileStatus).toEqual([]);
  await toolbox.post('/git/config/user', { name: 'A', email: 'a@b.c' });
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toBe(200);
  expect((await toolbox.get('/git/history?path=a')).json[0].message).toBe("Merge branch 'main' of origin");
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toBe(200);
});

test('a pull that conflicts is a 409 and can be resolved', async () => {
  const { server, toolbox } = await cloned();
  server.elsewhere('a.git', 'echo theirs > README.md; git commit -qam theirs');
  await commit(toolbox, 'README.md', 'ours');
  await toolbox.post('/git/config/user', { name: 'A', email: 'a@b.c' });
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toEqual([409, 'GIT_MERGE_CONFLICT']);
  expect((await toolbox.get('/git/status?path=a')).json.fileStatus).toEqual([{ name: 'README.md', extra: '', staging: 'Updated but unmerged', worktree: 'Updated but unmerged' }]);
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toEqual([409, 'GIT_MERGE_CONFLICT']);
  expect(verdict(await toolbox.post('/git/checkout', { path: 'a', branch: 'main~1' }))).toEqual([409, 'GIT_MERGE_CONFLICT']);
  expect(verdict(await toolbox.post('/git/commit', { path: 'a', message: 'm', ...WHO }))).toEqual([409, 'GIT_MERGE_CONFLICT']);
  await commit(toolbox, 'README.md', 'both');
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toBe(200);
});

test('a pull over local changes is a 409 that keeps them', async () => {
  const { server, toolbox } = await cloned();
  server.elsewhere('a.git', 'echo theirs > README.md; echo new > new; git add .; git commit -qam theirs');
  await toolbox.exec('echo mine > a/README.md');
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toEqual([409, 'GIT_DIRTY_WORKTREE']);
  await toolbox.exec('git checkout -q README.md; echo mine > new', { cwd: 'a' });
  expect(verdict(await toolbox.post('/git/pull', { path: 'a' }))).toEqual([409, 'GIT_DIRTY_WORKTREE']);
  expect((await toolbox.exec('cat a/new')).json.result).toBe('mine\n');
});

test('branches and remotes by name', async () => {
  const { server, toolbox } = await cloned();
  server.elsewhere('a.git', 'git checkout -qb dev; echo d > d; git add .; git commit -qm d');
  server.repository('b.git', {});
  expect(verdict(await toolbox.post('/git/pull', { path: 'a', branch: 'dev' }))).toBe(200);
  expect((await toolbox.exec('cat a/d')).json.result).toBe('d\n');
  expect(verdict(await toolbox.post('/git/pull', { path: 'a', branch: 'none' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/push', { path: 'a', branch: 'none' }))).toEqual([404, 'GIT_BRANCH_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/push', { path: 'a', remote: 'none' }))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'b', url: `${server.origin}/b.git`, fetch: true }))).toBe(201);
  expect(verdict(await toolbox.post('/git/push', { path: 'a', remote: 'b', branch: 'main' }))).toBe(200);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'b', url: 'x.example/y' }))).toEqual([409, 'CONFLICT']);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'b', url: `${server.origin}/none.git`, fetch: true, overwrite: true }))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'c', url: `${server.origin}/none.git`, fetch: true }))).toEqual([404, 'GIT_REPO_NOT_FOUND']);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'd', url: 'git.example.com/x/y.git' }))).toBe(201);
  expect(verdict(await toolbox.post('/git/remotes', { path: 'a', name: 'd', url: 'git@example.com:x/y.git', overwrite: true }))).toBe(201);
  expect((await toolbox.get('/git/remotes?path=a')).json).toEqual({ remotes: [
    { name: 'origin', url: `${server.origin}/a.git` }, { name: 'b', url: `${server.origin}/b.git` }, { name: 'd', url: 'git@example.com:x/y.git' }] });
  await toolbox.exec('git -C a checkout -q --detach');
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toEqual([400, 'BAD_REQUEST']);
});

test('a hook of the remote that declines is a 422 with its words', async () => {
  const { server, toolbox } = await cloned();
  await commit(toolbox, 'f', '1');
  await toolbox.exec(`printf '#!/bin/sh\\necho no friday pushes; echo Authentication failed for you; exit 1\\n' > ${server.root}/a.git/hooks/pre-receive; chmod +x ${server.root}/a.git/hooks/pre-receive`);
  const reply = await toolbox.post('/git/push', { path: 'a' });
  expect(verdict(reply)).toEqual([422, 'GIT_REMOTE_REJECTED']);
  expect(reply.json.message).toContain('no friday pushes');
});

test('a remote that forbids pushes is a 403', async () => {
  const { server, toolbox } = await cloned();
  await commit(toolbox, 'f', '1');
  await toolbox.exec(`git -C ${server.root}/a.git config http.receivepack false`);
  expect(verdict(await toolbox.post('/git/push', { path: 'a' }))).toEqual([403, 'FORBIDDEN']);
});

test('a certificate signed by itself is refused unless the flag says so', async () => {
  const server = await startGitServer({ tls: true, login: 'user:right' });
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  const login = { username: 'user', password: 'right' };
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a', ...login }))).toEqual([502, 'GIT_TRANSPORT_FAILED']);
  expect(server.seen).toEqual([]);
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a', ...login, insecure_skip_tls: true }))).toBe(200);
  expect((await toolbox.exec('grep -ci ssl a/.git/config')).json.result).toBe('0\n');
  expect(verdict(await toolbox.post('/git/pull', { path: 'a', ...login }))).toEqual([502, 'GIT_TRANSPORT_FAILED']);
});

test.each([['http://localhost:1/a.git'], ['http://no-such-host.invalid/a.git'], ['localhost:1/a.git']])('%s cannot be reached: 502', async (url) => {
  const toolbox = await startToolbox();
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a' }))).toEqual([502, 'GIT_TRANSPORT_FAILED']);
});

test('a server that speaks no git is a 502 or a 404, and one that fails a 502', async () => {
  const server = await startGitServer({ intercept: (request, response) => (response.writeHead(Number(request.url!.split('/')[1])).end('<html>\n<p>hello\n</html>\n'), true) });
  const toolbox = await startToolbox();
  for (const [status, expected] of [[500, 502], [503, 502], [429, 502], [200, 404], [403, 403], [404, 404]]) {
    const reply = await toolbox.post('/git/clone', { url: `${server.origin}/${status}/a.git`, path: 'a' });
    expect([status, reply.status, reply.json.message]).toEqual([status, expected, expect.anything()]);
  }
});

test('a client that leaves a hung clone ends git and leaves nothing', async () => {
  const hung = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  onTestFinished(() => void hung.close());
  await once(hung, 'listening');
  const toolbox = await startToolbox();
  const { port } = hung.address() as { port: number };
  const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/git/clone' });
  request.on('error', () => undefined);
  request.end(JSON.stringify({ url: `http://127.0.0.1:${port}/a.git`, path: 'a', username: 'u', password: 'p' }));
  const running = async () => (await toolbox.exec(`pgrep -cf '[g]it-remote-http origin http://127.0.0.1:${port}'`)).json.result !== '0\n';
  await eventually(running);
  request.destroy();
  await eventually(async () => !(await running()));
  await eventually(() => !existsSync(join(toolbox.dir, 'a')));
  expect(verdict(await toolbox.post('/git/init', { path: 'a' }))).toBe(201);
});

test('no hook runs in a clone', async () => {
  const server = await startGitServer();
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  await toolbox.exec('mkdir -p tpl/hooks hooks; printf "#!/bin/sh\\ntouch ~/ran\\n" | tee tpl/hooks/post-checkout > hooks/post-checkout; chmod +x */hooks/* hooks/*; git config --global init.templateDir ~/tpl');
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'a' }))).toBe(200);
  await toolbox.exec('git config --global core.hooksPath ~/hooks');
  expect(verdict(await toolbox.post('/git/clone', { url, path: 'b', commit_id: 'main' }))).toBe(200);
  expect(existsSync(join(toolbox.dir, 'ran'))).toBe(false);
});
