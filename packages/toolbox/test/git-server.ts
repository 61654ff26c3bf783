/** A real git HTTP server for tests: git's own http-backend behind Node, on loopback, with Basic authentication and TLS where asked. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface GitServer {
  /** Directory of the bare repositories. */
  readonly root: string;
  readonly url: string;
  readonly origin: string;
  /** Authorization headers that arrived, in order; undefined for none. */
  readonly seen: (string | undefined)[];
  /** A bare repository whose branch `main` holds one commit with the files. */
  repository(name: string, files?: Readonly<Record<string, string>>): string;
  /** git in a scratch clone of a repository, pushed afterwards: what somebody else does meanwhile. */
  elsewhere(name: string, script: string): void;
}

export interface GitServerOptions {
  /** `user:password` that every request must carry. */
  readonly login?: string;
  readonly tls?: boolean;
  /** Answers in place of git. @returns true when it did */
  readonly intercept?: (request: http.IncomingMessage, response: http.ServerResponse) => boolean;
}

const WHO = { GIT_AUTHOR_NAME: 'Else', GIT_AUTHOR_EMAIL: 'else@example.com', GIT_COMMITTER_NAME: 'Else', GIT_COMMITTER_EMAIL: 'else@example.com', GIT_CONFIG_GLOBAL: '/dev/null' };

export async function startGitServer(options: GitServerOptions = {}): Promise<GitServer> {
  const root = mkdtempSync(join(tmpdir(), 'paddock-git-server-'));
  const seen: (string | undefined)[] = [];
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const { authorization } = request.headers;
    seen.push(authorization);
    if (options.login !== undefined && authorization !== `Basic ${Buffer.from(options.login).toString('base64')}`) {
      request.resume();
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end('no');
      return;
    }
    if (options.intercept?.(request, response)) return;
    backend(root, request, response);
  };
  const server = options.tls ? https.createServer(certificate(root), answer) : http.createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `${options.tls ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`;
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(root, { recursive: true, force: true });
  });
  const shell = (script: string): void => void execFileSync('sh', ['-ec', script], { cwd: root, env: { ...process.env, ...WHO }, stdio: 'pipe' });
  return {
    root, origin, url: origin, seen,
    repository(name, files = { 'README.md': '# hello\n' }) {
      shell(`git init -q --bare "${name}"; git -C "${name}" symbolic-ref HEAD refs/heads/main; git -C "${name}" config http.receivepack true; git -C "${name}" config uploadpack.allowAnySHA1InWant true`);
      if (Object.keys(files).length > 0) {
        const work = mkdtempSync(join(root, 'work-'));
        for (const [path, text] of Object.entries(files)) writeFileSync(join(work, path), text);
        shell(`cd "${work}"; git init -q; git symbolic-ref HEAD refs/heads/main; git add .; git commit -qm first; git push -q "${root}/${name}" main`);
        rmSync(work, { recursive: true });
      }
      return `${origin}/${name}`;
    },
    elsewhere(name, script) {
      const work = mkdtempSync(join(root, 'work-'));
      shell(`git clone -q "${root}/${name}" "${work}" 2>/dev/null; cd "${work}"; ${script}\ngit push -q origin --all; git push -q origin --tags`);
      rmSync(work, { recursive: true });
    },
  };
}

/** The CGI protocol: variables in, head and body out. */
function backend(root: string, request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = new URL(request.url!, 'http://localhost');
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'], GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: decodeURIComponent(url.pathname), QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] ?? '', REMOTE_USER: 'user', REMOTE_ADDR: '127.0.0.1',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '', GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''), GIT_CONFIG_GLOBAL: '/dev/null',
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
    },
  });
  request.pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  let head = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    if (response.headersSent) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    let status = 200;
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [name, value] = line.split(/: */, 2) as [string, string];
      if (name === 'Status') status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
  });
  child.stdout.on('end', () => response.end());
}

/** Signed by itself. */
function certificate(dir: string): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'pipe' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}
