/** One successful call of each operation of the toolbox's description: `METHOD /path` to how it is made in a toolbox of its own. */
import { startGitServer } from './git-server.ts';
import { multipart, type Toolbox } from './toolbox.ts';

export interface Example {
  /** Shell script that sets the stage in the home of the toolbox. */
  readonly stage?: string;
  /** What no script can set up. @returns values of path segments and of fields of the body that only it knows */
  readonly before?: (toolbox: Toolbox) => Promise<{ readonly segments?: Readonly<Record<string, string>>; readonly body?: object } | void>;
  readonly segments?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  /** A body that is not JSON. */
  readonly raw?: { readonly body: Buffer; readonly headers: Record<string, string> };
  readonly status?: number;
  /** Parameters which the description requires and the toolbox has a value for when they are absent. */
  readonly defaulted?: readonly string[];
  /** A WebSocket route: a plain request is told to upgrade. */
  readonly webSocket?: true;
}

const REPOSITORY = `git init -q -b main r; cd r; git config user.name a; git config user.email a@b; echo x > f; git add f; git commit -qm first; git branch other; git remote add origin http://localhost:1/a.git; echo y > f; touch new`;
const repository = (body: Record<string, unknown>, more: Partial<Example> = {}): Example => ({ stage: REPOSITORY, body: { path: 'r', ...body }, ...more });
const asked = (query: Record<string, string>, more: Partial<Example> = {}): Example => ({ stage: REPOSITORY, query: { path: 'r', ...query }, ...more });

/** A clone of a repository on a server of this test, one commit ahead of it. */
const cloned = (more: Partial<Example>): Example => ({
  ...more,
  async before(toolbox) {
    const server = await startGitServer();
    const url = server.repository('a.git');
    await toolbox.exec(`git clone -q ${url} r; cd r; git config user.name a; git config user.email a@b; git commit -q --allow-empty -m second`);
  },
});

const session = async (toolbox: Toolbox): Promise<void> => void (await toolbox.post('/process/session', { sessionId: 's' }));
const command = (line: string, async_: boolean) => async (toolbox: Toolbox): Promise<{ segments: Record<string, string> }> => {
  await session(toolbox);
  const reply = await toolbox.post('/process/session/s/exec', { command: line, runAsync: async_ });
  return { segments: { commandId: reply.json.cmdId as string } };
};
const entrypoint = async (toolbox: Toolbox): Promise<void> => void (await toolbox.post('/init', { token: 't', entrypoint: ['echo', 'hello'] }));
const terminal = async (toolbox: Toolbox): Promise<void> => void (await toolbox.post('/process/pty', { id: 'p' }));
const context = async (toolbox: Toolbox): Promise<{ segments: Record<string, string> }> => ({ segments: { id: (await toolbox.post('/process/interpreter/context', {})).json.id as string } });

const SCRIPT = 'class Answer:\\n    def give(self):\\n        return 42\\n\\nAnswer().\\n';
const lsp = (start: boolean, open: boolean, more: Omit<Example, 'before'>): Example => ({
  ...more,
  stage: `mkdir p; printf '${SCRIPT}' > p/a.py`,
  async before(toolbox) {
    const server = { languageId: 'python', pathToProject: `${toolbox.dir}/p` };
    const uri = `file://${toolbox.dir}/p/a.py`;
    if (start) await toolbox.post('/lsp/start', server);
    if (open) await toolbox.post('/lsp/did-open', { ...server, uri });
    return { body: { ...server, uri } };
  },
});

export const EXAMPLES: Readonly<Record<string, Example>> = {
  'GET /version': {}, 'GET /work-dir': {}, 'GET /user-home-dir': {}, 'GET /system/metrics': {}, 'GET /port': {},
  'GET /port/{port}/in-use': { segments: { port: '3000' } },
  'POST /init': { body: { token: 't' }, defaulted: ['token'] },
  'POST /env': { body: { set: { A: '1' } } },

  'GET /files': { stage: 'echo x > f; mkdir d', query: { path: '.', depth: '2' } },
  'DELETE /files': { stage: 'mkdir d; touch d/f', query: { path: 'd', recursive: 'true' }, status: 204 },
  'GET /files/info': { stage: 'echo x > f', query: { path: 'f' } },
  'POST /files/folder': { query: { path: 'd', mode: '755' }, status: 201, defaulted: ['mode'] },
  'POST /files/move': { stage: 'touch a', query: { source: 'a', destination: 'b' } },
  'POST /files/permissions': { stage: 'touch a', query: { path: 'a', mode: '600' } },
  'GET /files/find': { stage: 'echo needle > f', query: { path: '.', pattern: 'needle' } },
  'GET /files/search': { stage: 'touch a.txt', query: { path: '.', pattern: '*.txt' } },
  'POST /files/replace': { stage: 'echo a > f', body: { files: ['f'], pattern: 'a', newValue: 'b' } },
  'GET /files/download': { stage: 'echo x > f', query: { path: 'f' } },
  'POST /files/bulk-download': { stage: 'echo x > f', body: { paths: ['f'] } },
  'POST /files/bulk-upload': { raw: multipart([['files[0].path', null, 'up'], ['files[0].file', 'up', 'x']]) },
  'POST /files/upload-v2': { query: { path: 'up' }, raw: multipart([['file', 'up', 'x']]) },

  'GET /git/status': asked({}), 'GET /git/history': asked({}), 'GET /git/branches': asked({}), 'GET /git/remotes': asked({}),
  'GET /git/config': asked({ key: 'user.name', scope: 'local' }, { defaulted: ['path'] }),
  'POST /git/config': repository({ key: 'user.name', value: 'b', scope: 'local' }),
  'POST /git/config/user': repository({ name: 'b', email: 'b@c', scope: 'local' }),
  'POST /git/credentials': { body: { username: 'u', password: 'p', host: 'localhost' } },
  'POST /git/init': { body: { path: 'new', initial_branch: 'main' }, status: 201 },
  'POST /git/add': repository({ files: ['new'] }),
  'POST /git/commit': { stage: `${REPOSITORY}; git add .`, body: { path: 'r', message: 'm', author: 'a', email: 'a@b' } },
  'POST /git/branches': repository({ name: 'topic' }, { status: 201 }),
  'DELETE /git/branches': repository({ name: 'other' }, { status: 204 }),
  'POST /git/checkout': { stage: `${REPOSITORY}; git checkout -q f`, body: { path: 'r', branch: 'other' } },
  'POST /git/reset': repository({ mode: 'hard' }), 'POST /git/restore': repository({ files: ['f'] }),
  'POST /git/remotes': repository({ name: 'second', url: 'http://localhost:1/b.git' }, { status: 201 }),
  'POST /git/clone': {
    body: { path: 'c' },
    before: async () => ({ body: { url: (await startGitServer()).repository('a.git') } }),
  },
  'POST /git/push': cloned({ body: { path: 'r' } }), 'POST /git/pull': cloned({ body: { path: 'r' } }),

  'POST /process/execute': { body: { command: 'echo x' } },
  'POST /process/code-run': { body: { code: 'print(1)', language: 'python' }, defaulted: ['language'] },

  'GET /process/session': { before: session },
  'POST /process/session': { body: { sessionId: 's' }, status: 201 },
  'GET /process/session/entrypoint': { before: entrypoint },
  'GET /process/session/entrypoint/logs': { before: entrypoint },
  'GET /process/session/{sessionId}': { before: command('true', false), segments: { sessionId: 's' } },
  'DELETE /process/session/{sessionId}': { before: session, segments: { sessionId: 's' }, status: 204 },
  'POST /process/session/{sessionId}/exec': { before: session, segments: { sessionId: 's' }, body: { command: 'echo x' } },
  'GET /process/session/{sessionId}/command/{commandId}': { before: command('true', false), segments: { sessionId: 's' } },
  'GET /process/session/{sessionId}/command/{commandId}/logs': { before: command('echo x; echo y >&2', false), segments: { sessionId: 's' } },
  'POST /process/session/{sessionId}/command/{commandId}/input': { before: command('read line', true), segments: { sessionId: 's' }, body: { data: 'x\n' }, status: 204 },

  'GET /process/pty': { before: terminal },
  'POST /process/pty': { body: { id: 'p', cols: 100, rows: 30, envs: { A: '1' } }, status: 201 },
  'GET /process/pty/{sessionId}': { before: terminal, segments: { sessionId: 'p' } },
  'DELETE /process/pty/{sessionId}': { before: terminal, segments: { sessionId: 'p' } },
  'POST /process/pty/{sessionId}/resize': { before: terminal, segments: { sessionId: 'p' }, body: { cols: 90, rows: 20 } },
  'GET /process/pty/{sessionId}/connect': { before: terminal, segments: { sessionId: 'p' }, webSocket: true },

  'GET /process/interpreter/context': { before: context },
  'POST /process/interpreter/context': { body: { language: 'python' } },
  'DELETE /process/interpreter/context/{id}': { before: context },
  'GET /process/interpreter/execute': { webSocket: true },

  'POST /lsp/start': lsp(false, false, { body: {} }), 'POST /lsp/stop': lsp(true, false, { body: {} }),
  'POST /lsp/did-open': lsp(true, false, { body: {} }), 'POST /lsp/did-close': lsp(true, true, { body: {} }),
  'POST /lsp/completions': lsp(true, true, { body: { position: { line: 4, character: 9 } } }),
  'GET /lsp/document-symbols': lsp(true, true, { query: {} }), 'GET /lsp/workspacesymbols': lsp(true, true, { query: { query: 'Answer' }, defaulted: ['query'] }),
};

/** One call for each kind of refusal of an operation: the status that the description has for it, and the code that clients map to a class. */
export const REFUSALS: readonly (readonly [operation: string, status: number, code: string, call: Example])[] = [
  ['GET /files', 404, 'FILE_NOT_FOUND', { query: { path: 'none' } }], ['GET /files/info', 404, 'FILE_NOT_FOUND', { query: { path: 'none' } }],
  ['GET /files/download', 404, 'FILE_NOT_FOUND', { query: { path: 'none' } }], ['DELETE /files', 404, 'FILE_NOT_FOUND', { query: { path: 'none' } }],
  ['POST /files/move', 404, 'FILE_NOT_FOUND', { query: { source: 'none', destination: 'b' } }],
  ['POST /files/permissions', 404, 'FILE_NOT_FOUND', { query: { path: 'none', mode: '600' } }], ['POST /files/permissions', 400, 'BAD_REQUEST', { stage: 'touch a', query: { path: 'a', mode: 'x' } }],
  ['DELETE /files', 400, 'BAD_REQUEST', { stage: 'mkdir d; touch d/f', query: { path: 'd' } }],
  ['GET /port/{port}/in-use', 400, 'BAD_REQUEST', { segments: { port: 'x' } }],

  ['GET /git/status', 404, 'GIT_REPO_NOT_FOUND', { query: { path: '/proc' } }], ['GET /git/history', 404, 'GIT_REPO_NOT_FOUND', { query: { path: '/proc' } }],
  ['GET /git/branches', 404, 'GIT_REPO_NOT_FOUND', { query: { path: '/proc' } }],
  ['POST /git/checkout', 404, 'GIT_BRANCH_NOT_FOUND', repository({ branch: 'none' })], ['POST /git/branches', 409, 'GIT_BRANCH_EXISTS', repository({ name: 'main' })],
  ['DELETE /git/branches', 404, 'GIT_BRANCH_NOT_FOUND', repository({ name: 'none' })],
  ['POST /git/clone', 404, 'GIT_REPO_NOT_FOUND', { body: { path: 'c' }, before: async () => ({ body: { url: `${(await startGitServer()).origin}/none.git` } }) }],
  ['POST /git/clone', 401, 'GIT_AUTH_FAILED', { body: { path: 'c' }, before: async () => ({ body: { url: (await startGitServer({ login: 'u:p' })).repository('a.git') } }) }],

  ['POST /process/execute', 408, 'PROCESS_EXECUTION_TIMEOUT', { body: { command: 'sleep 30', timeout: 1 } }],
  ['POST /process/code-run', 408, 'PROCESS_EXECUTION_TIMEOUT', { body: { code: 'while True: pass', language: 'python', timeout: 1 } }],
  ['POST /process/session', 409, 'CONFLICT', { before: session, body: { sessionId: 's' } }],
  ['GET /process/session/entrypoint', 404, 'PROCESS_NOT_FOUND', {}], ['GET /process/session/entrypoint/logs', 404, 'PROCESS_NOT_FOUND', {}],
  ['GET /process/session/{sessionId}', 404, 'PROCESS_NOT_FOUND', { segments: { sessionId: 'none' } }],
  ['DELETE /process/session/{sessionId}', 404, 'PROCESS_NOT_FOUND', { segments: { sessionId: 'none' } }],
  ['POST /process/session/{sessionId}/exec', 404, 'PROCESS_NOT_FOUND', { segments: { sessionId: 'none' }, body: { command: 'true' } }],
  ['GET /process/session/{sessionId}/command/{commandId}', 404, 'PROCESS_NOT_FOUND', { before: session, segments: { sessionId: 's', commandId: 'none' } }],
  ['GET /process/session/{sessionId}/command/{commandId}/logs', 404, 'PROCESS_NOT_FOUND', { before: session, segments: { sessionId: 's', commandId: 'none' } }],
  ['POST /process/session/{sessionId}/command/{commandId}/input', 410, 'COMMAND_ALREADY_COMPLETED', { before: command('true', false), segments: { sessionId: 's' }, body: { data: 'x' } }],

  ['POST /process/pty', 409, 'CONFLICT', { before: terminal, body: { id: 'p' } }], ['POST /process/pty', 400, 'INVALID_REQUEST_BODY', { body: { id: 'p', cols: 1001 } }],
  ['GET /process/pty/{sessionId}', 404, 'NOT_FOUND', { segments: { sessionId: 'none' } }], ['DELETE /process/pty/{sessionId}', 404, 'NOT_FOUND', { segments: { sessionId: 'none' } }],
  ['POST /process/pty/{sessionId}/resize', 410, 'GONE', { segments: { sessionId: 'none' }, body: { cols: 1, rows: 1 } }],
  ['DELETE /process/interpreter/context/{id}', 404, 'NOT_FOUND', { segments: { id: 'none' } }], ['DELETE /process/interpreter/context/{id}', 400, 'BAD_REQUEST', { segments: { id: 'default' } }],
  ['POST /process/interpreter/context', 400, 'BAD_REQUEST', { body: { language: 'cobol' } }],

  ['POST /lsp/did-open', 400, 'LSP_SERVER_NOT_INITIALIZED', lsp(false, false, { body: {} })], ['POST /lsp/completions', 400, 'LSP_SERVER_NOT_INITIALIZED', lsp(false, false, { body: { position: { line: 0, character: 0 } } })],
  ['GET /lsp/document-symbols', 400, 'LSP_SERVER_NOT_INITIALIZED', lsp(false, false, { query: {} })],
  ['POST /lsp/start', 400, 'BAD_REQUEST', { body: { languageId: 'cobol', pathToProject: '/tmp' } }],
];
