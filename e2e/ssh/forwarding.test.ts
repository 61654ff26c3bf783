import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort, openSsh, program, until, type Ssh } from './support.ts';

let ssh: Ssh;
beforeAll(async () => {
  ssh = await openSsh();
  await ssh.sandbox.fs.uploadFile(Buffer.from('served inside'), '/tmp/www/index.html');
  await ssh.sandbox.process.executeCommand('cd /tmp/www && (setsid python3 -m http.server 8123 >/dev/null 2>&1 &) ; sleep 0.3');
});
afterAll(() => ssh.close());

const curl = async (...args: string[]) => (await program('curl', ['-s', '--max-time', '5', ...args]).ended).out;

test('-L reaches a port inside the sandbox', async () => {
  const port = await freePort();
  ssh.start(['-N', '-L', `${port}:localhost:8123`]);
  await until(async () => (await curl(`http://127.0.0.1:${port}/`)) === 'served inside', 'the page comes through');
});

test('-D is a proxy into the sandbox', async () => {
  const port = await freePort();
  ssh.start(['-N', '-D', String(port)]);
  await until(async () => (await curl('--socks5-hostname', `127.0.0.1:${port}`, 'http://localhost:8123/')) === 'served inside', 'the page comes through');
});

test('-R lets the sandbox reach a port of the client', async () => {
  const server = createServer((socket) => socket.end('from the client\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    ssh.start(['-N', '-R', `9321:127.0.0.1:${(server.address() as AddressInfo).port}`]);
    const ask = `python3 -c "import socket; print(socket.create_connection(('127.0.0.1', 9321)).recv(100).decode())"`;
    await until(async () => (await ssh.sandbox.process.executeCommand(ask)).result.includes('from the client'), 'the sandbox hears the client');
  } finally {
    server.close();
  }
});

test('unix sockets, both ways', async () => {
  const local = join(ssh.scratch, 'local.sock');
  const port = await freePort();
  const server = createServer((socket) => socket.end('by a socket'));
  await new Promise<void>((resolve) => server.listen(local, resolve));
  try {
    ssh.start(['-N', '-R', `/tmp/there.sock:${local}`, '-L', `${port}:/tmp/there.sock`]);
    await until(async () => (await program('python3', ['-c', `import socket; print(socket.create_connection(('127.0.0.1', ${port})).recv(100).decode())`]).ended).out.includes('by a socket'), 'the round trip through the sandbox');
  } finally {
    server.close();
  }
});

test('the agent of the client is there for programs of the sandbox', async () => {
  const socket = join(ssh.scratch, 'agent.sock');
  const agent = program('ssh-agent', ['-D', '-a', socket]);
  try {
    const key = join(ssh.scratch, 'key');
    await program('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'key-of-the-client', '-f', key]).ended;
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    await until(async () => (await program('ssh-add', [key], env).ended).code === 0, 'the agent holds the key');
    // SSH_AGENTC_REQUEST_IDENTITIES: what `ssh-add -l` asks, without needing ssh-add in the image.
    const ask = `python3 -c "import os,socket; s=socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK']); s.sendall(bytes([0,0,0,1,11])); print(s.recv(4096))"`;
    expect((await ssh.run(['-A', '-o', `IdentityAgent=${socket}`, '-o', `ForwardAgent=${socket}`], ask)).out).toContain('key-of-the-client');
  } finally {
    agent.child.kill();
  }
});
