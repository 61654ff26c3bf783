import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startGitServer } from './git-server.ts';
import { startToolbox, type Toolbox } from './toolbox.ts';

const SECRET = 'p@ss:w/ö%rd"$';
const login = { username: 'user', password: SECRET };

/** Every file below the home and the places for temporary files that holds the text. */
async function filesWith(toolbox: Toolbox, text: string): Promise<string> {
  writeFileSync(`${toolbox.dir}/../needle`, text);
  const found = await toolbox.exec(`grep -rlF -f ../needle . /tmp/paddock-toolbox-none /dev/shm/.paddock-pipes-${toolbox.child.pid} 2>/dev/null`);
  rmSync(`${toolbox.dir}/../needle`);
  return found.json.result;
}

/** Command lines and environments of everything that runs, gathered while the operation goes on. */
function watchProcesses(toolbox: Toolbox): () => Promise<string> {
  const log = join(toolbox.dir, '..', 'watch');
  writeFileSync(log, '');
  const done = toolbox.exec(`while [ ! -e ../stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' >> ../watch; done; rm ../stop`);
  return async () => {
    writeFileSync(join(toolbox.dir, '..', 'stop'), '');
    await done;
    return readFileSync(log, 'utf8');
  };
}

test('clone, push and pull with credentials leave them nowhere', async () => {
  const server = await startGitServer({ login: `user:${SECRET}` });
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  const processes = watchProcesses(toolbox);
  expect((await toolbox.post('/git/clone', { url, path: 'a', ...login })).text).toBe('');
  await toolbox.exec('cd a && echo 1 > f');
  await toolbox.post('/git/add', { path: 'a', files: ['f'] });
  await toolbox.post('/git/commit', { path: 'a', message: 'm', author: 'A', email: 'a@b' });
  expect((await toolbox.post('/git/push', { path: 'a', ...login })).status).toBe(200);
  server.elsewhere('a.git', 'echo 2 > g; git add g; git commit -qm g');
  expect((await toolbox.post('/git/pull', { path: 'a', ...login })).status).toBe(200);
  expect((await toolbox.exec('cat a/f a/g')).json.result).toBe('1\n2\n');
  const seen = await processes();
  expect(seen).toContain('git-remote-http');
  for (const text of [SECRET, encodeURIComponent(SECRET), Buffer.from(`user:${SECRET}`).toString('base64')]) {
    expect(seen).not.toContain(text);
    expect(await filesWith(toolbox, text)).toBe('');
  }
  expect((await toolbox.exec('cat a/.git/config')).json.result).toContain(`url = ${url}\n`);
});

test('credentials inside the URL are used and not kept', async () => {
  const server = await startGitServer({ login: 'tok en:x' });
  server.repository('a.git');
  const toolbox = await startToolbox();
  const url = `${server.origin.replace('//', '//tok%20en:x@')}/a.git`;
  expect((await toolbox.post('/git/clone', { url, path: 'a' })).text).toBe('');
  expect((await toolbox.exec('git -C a config remote.origin.url')).json.result).toBe(`${server.origin}/a.git\n`);
  expect(await filesWith(toolbox, 'tok en')).toBe('');
});

test('a token alone in the URL is a user name without a password', async () => {
  const server = await startGitServer({ login: 'ghp_token:' });
  server.repository('a.git');
  const toolbox = await startToolbox();
  expect((await toolbox.post('/git/clone', { url: `${server.origin.replace('//', '//ghp_token@')}/a.git`, path: 'a' })).text).toBe('');
  expect(await filesWith(toolbox, 'ghp_token')).toBe('');
});

test('wrong or missing credentials are a 401 without the password in its message', async () => {
  const server = await startGitServer({ login: 'user:right' });
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  const wrong = await toolbox.post('/git/clone', { url, path: 'a', username: 'user', password: 'wrong-secret' });
  expect([wrong.status, wrong.json.code]).toEqual([401, 'GIT_AUTH_FAILED']);
  expect(wrong.text).not.toContain('wrong-secret');
  const inside = await toolbox.post('/git/clone', { url: `${server.origin.replace('//', '//me:wrong-secret@')}/a.git`, path: 'a' });
  expect([inside.status, inside.json.code]).toEqual([401, 'GIT_AUTH_FAILED']);
  expect(inside.text).not.toContain('wrong-secret');
  for (const half of [{}, { username: 'user' }, { password: 'right' }, { username: '', password: 'right' }]) {
    const missing = await toolbox.post('/git/clone', { url, path: 'a', ...half });
    expect([missing.status, missing.json.code]).toEqual([401, 'GIT_AUTH_FAILED']);
  }
  expect((await toolbox.exec('ls -A')).json.result).toBe('');
});

test('a line break in a credential is refused', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/git/clone', { url: 'http://localhost:1/a', path: 'a', username: 'u', password: 'p\nhost=evil' });
  expect([reply.status, reply.json.code]).toEqual([400, 'INVALID_REQUEST_BODY']);
});

test('helpers of the sandbox are neither asked nor told when credentials are given', async () => {
  const server = await startGitServer({ login: 'user:right' });
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  await toolbox.exec(`git config --global credential.helper '!f() { echo "$1" >> ~/asked; echo username=other; echo password=other; }; f'; git config --global credential.${server.origin}.helper '!f() { echo "$1" >> ~/asked; echo username=other; echo password=other; }; f'`);
  expect((await toolbox.post('/git/clone', { url, path: 'a', username: 'user', password: 'right' })).status).toBe(200);
  expect((await toolbox.exec('cat asked')).json.exitCode).toBe(1);
  expect((await toolbox.post('/git/clone', { url, path: 'b' })).status).toBe(401);
  expect((await toolbox.exec('cat asked')).json.result).toContain('get');
});

test('a redirect to another host is not given the credentials', async () => {
  const thief = await startGitServer({ login: 'nobody:knows' });
  const server = await startGitServer({
    login: 'user:right',
    intercept: (request, response) => (response.writeHead(302, { Location: thief.origin + request.url }).end(), true),
  });
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/git/clone', { url: `${server.origin}/a.git`, path: 'a', username: 'user', password: 'right' });
  expect(reply.status).toBe(401);
  expect(thief.seen.length).toBeGreaterThan(0);
  expect(thief.seen.filter((header) => header !== undefined)).toEqual([]);
});

test('stored credentials serve later operations, which is what storing them is for', async () => {
  const server = await startGitServer({ login: 'user:p@ss wörd' });
  const url = server.repository('a.git');
  const toolbox = await startToolbox();
  const { host } = new URL(server.origin);
  expect((await toolbox.post('/git/credentials', { username: 'user', password: 'p@ss wörd', host, protocol: 'http' })).status).toBe(200);
  expect((await toolbox.post('/git/credentials', { username: 'me', password: 'github-token' })).status).toBe(200);
  expect((await toolbox.post('/git/clone', { url, path: 'a' })).text).toBe('');
  expect((await toolbox.exec('git config --global --get-all credential.helper; grep github .git-credentials; stat -c %a .git-credentials')).json.result).toBe('store\nhttps://me:github-token@github.com\n600\n');
  for (const bad of [{ username: 'a\nb', password: 'c' }, { username: 'a', password: '' }, { username: 'a', password: 'b', host: 'x/y' }, { username: 'a', password: 'b', protocol: 'a b' }]) {
    expect((await toolbox.post('/git/credentials', bad)).status).toBe(400);
  }
});
