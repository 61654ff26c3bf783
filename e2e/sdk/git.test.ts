import { describe, expect, test } from 'vitest';
import { SDKS, type Sandbox, withSandbox } from './support.ts';

/** A git HTTP server with Basic authentication inside the sandbox: git's own http-backend behind Python. */
const SERVER = String.raw`
import base64, http.server, os, subprocess, sys
WANTED = 'Basic ' + base64.b64encode(b'user:secret').decode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers['Authorization'] != WANTED:
            self.send_response(401); self.send_header('WWW-Authenticate', 'Basic realm="git"'); self.end_headers(); return
        path, _, query = self.path.partition('?')
        length = self.headers['Content-Length']
        env = dict(PATH=os.environ['PATH'], GIT_PROJECT_ROOT='/tmp/git', GIT_HTTP_EXPORT_ALL='1', PATH_INFO=path, QUERY_STRING=query, REQUEST_METHOD=self.command,
            CONTENT_TYPE=self.headers['Content-Type'] or '', HTTP_CONTENT_ENCODING=self.headers['Content-Encoding'] or '', GIT_PROTOCOL=self.headers['Git-Protocol'] or '',
            REMOTE_USER='user', REMOTE_ADDR='127.0.0.1', **({'CONTENT_LENGTH': length} if length else {}))
        out = subprocess.run(['git', 'http-backend'], input=self.rfile.read(int(length or 0)), env=env, stdout=subprocess.PIPE).stdout
        head, _, body = out.partition(b'\r\n\r\n')
        headers = dict(line.split(': ', 1) for line in head.decode().split('\r\n'))
        self.send_response(int(headers.pop('Status', '200').split()[0]))
        for name, value in headers.items(): self.send_header(name, value)
        self.end_headers(); self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(('127.0.0.1', 8418), Handler).serve_forever()
`;
const URL = 'http://localhost:8418/a.git';

async function startServer({ process: run, fs }: Sandbox): Promise<void> {
  await fs.uploadFile(Buffer.from(SERVER), '/tmp/git/server.py');
  const done = await run.executeCommand(`cd /tmp/git && git init -q --bare a.git && git -C a.git symbolic-ref HEAD refs/heads/main && git -C a.git config http.receivepack true &&
git init -q -b main w && cd w && git config user.name E && git config user.email e@f && echo hello > README && git add . && git commit -qm first && git push -q ../a.git main &&
cd .. && (nohup python3 server.py > /dev/null 2>&1 &) && for i in $(seq 50); do curl -s -o /dev/null localhost:8418 && break; sleep 0.1; done`);
  expect(done).toMatchObject({ exitCode: 0, result: '' });
}

describe.each(SDKS)('git with %s', (_name, sdk) => {
  test('clone with credentials, change, commit, push and pull', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const { git, fs, process: run } = sandbox;
      await startServer(sandbox);
      await git.clone(URL, 'work/a', undefined, undefined, 'user', 'secret');
      expect(await git.status('work/a')).toMatchObject({ currentBranch: 'main', branchPublished: true, ahead: 0, behind: 0, fileStatus: [] });
      await git.createBranch('work/a', 'topic');
      await fs.uploadFile(Buffer.from('new'), 'work/a/new.txt');
      expect((await git.status('work/a')).fileStatus).toEqual([{ name: 'new.txt', extra: '', staging: 'Untracked', worktree: 'Untracked' }]);
      await git.add('work/a', ['.']);
      const { sha } = await git.commit('work/a', 'Add new', 'Ann', 'ann@example.com');
      expect(sha).toMatch(/^[0-9a-f]{40}$/);
      await git.push('work/a', 'user', 'secret', undefined, undefined, true);
      expect(await git.status('work/a')).toMatchObject({ currentBranch: 'topic', branchPublished: true, upstream: 'origin/topic', ahead: 0 });
      await run.executeCommand('git checkout -q main && git pull -q ../a.git topic && echo more >> README && git commit -qam more && git push -q ../a.git main', '/tmp/git/w');
      await git.checkoutBranch('work/a', 'main');
      await git.pull('work/a', 'user', 'secret');
      expect((await fs.downloadFile('work/a/README')).toString()).toBe('hello\nmore\n');
      await git.deleteBranch('work/a', 'topic');
      expect(await git.branches('work/a')).toMatchObject({ branches: ['main'], current: 'main' });
      expect((await run.executeCommand('grep -rl secret work; cat ~/.git-credentials')).result).toMatch(/^cat: .*No such file or directory\n$/);
    });
  });

  test('failures arrive as their classes', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const { git, process: run } = sandbox;
      await startServer(sandbox);
      await expect(git.clone(URL, 'a', undefined, undefined, 'user', 'wrong')).rejects.toBeInstanceOf(sdk.DaytonaGitAuthFailedError);
      await expect(git.clone(URL.replace('a.git', 'b.git'), 'a', undefined, undefined, 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitRepoNotFoundError);
      await expect(git.clone(URL, 'a', 'none', undefined, 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitBranchNotFoundError);
      await expect(git.clone('http://localhost:1/a', 'a')).rejects.toBeInstanceOf(sdk.DaytonaGitTransportFailedError);
      await expect(git.status('a')).rejects.toBeInstanceOf(sdk.DaytonaGitRepoNotFoundError);
      await git.clone(URL, 'a', undefined, undefined, 'user', 'secret');
      await expect(git.createBranch('a', 'main')).rejects.toBeInstanceOf(sdk.DaytonaGitBranchExistsError);
      await expect(git.checkoutBranch('a', 'none')).rejects.toBeInstanceOf(sdk.DaytonaGitBranchNotFoundError);
      await run.executeCommand('echo theirs > README && git commit -qam theirs && git push -q ../a.git main', '/tmp/git/w');
      await run.executeCommand('echo mine > a/README');
      await expect(git.pull('a', 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitDirtyWorktreeError);
      await git.configureUser('Ann', 'ann@example.com');
      await git.add('a', ['README']);
      await git.commit('a', 'mine', 'Ann', 'ann@example.com');
      await expect(git.push('a', 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitPushRejectedError);
      await expect(git.pull('a', 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitMergeConflictError);
      await git.reset('a', 'hard', 'origin/main');
      await run.executeCommand("printf '#!/bin/sh\\nexit 1\\n' > hooks/update; chmod +x hooks/update", '/tmp/git/a.git');
      await git.commit('a', 'empty', 'Ann', 'ann@example.com', true);
      await expect(git.push('a', 'user', 'secret')).rejects.toBeInstanceOf(sdk.DaytonaGitRemoteRejectedError);
    });
  });

  test('a repository of one\'s own: init, history, restore, remotes, configuration, stored credentials', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      const { git, fs, process: run } = sandbox;
      await startServer(sandbox);
      await git.init('mine', false, 'trunk');
      expect(await git.status('mine')).toMatchObject({ currentBranch: 'trunk', branchPublished: false, fileStatus: [] });
      await fs.uploadFile(Buffer.from('1'), 'mine/f');
      await git.add('mine', ['f']);
      await git.commit('mine', 'one', 'Ann', 'ann@example.com');
      await fs.uploadFile(Buffer.from('2'), 'mine/f');
      await git.restore('mine', ['f']);
      expect((await fs.downloadFile('mine/f')).toString()).toBe('1');
      await git.setConfig('user.name', 'Bo');
      expect(await git.getConfig('user.name')).toBe('Bo');
      expect(await git.getConfig('user.nick') ?? null).toBeNull();
      await git.remoteAdd('mine', 'up', 'http://localhost:1/x');
      await git.dangerouslyAuthenticate('user', 'secret', 'localhost:8418', 'http');
      await git.remoteAdd('mine', 'up', URL, true, true);
      expect(await git.remoteGet('mine', 'up')).toBe(URL);
      expect(await git.remotes('mine')).toEqual({ remotes: [{ name: 'up', url: URL }] });
      await git.push('mine', undefined, undefined, undefined, 'up');
      expect((await run.executeCommand('git -C /tmp/git/a.git log -1 --format=%s trunk')).result).toBe('one\n');
      await git.clone(URL, 'flat', 'trunk', undefined, undefined, undefined, undefined, 1);
      const commit = (await run.executeCommand('git -C /tmp/git/a.git rev-parse main')).result.trim();
      await git.clone(URL, 'at', undefined, commit);
      expect(await git.status('at')).toMatchObject({ currentBranch: 'HEAD', detached: true });
    });
  });
});
