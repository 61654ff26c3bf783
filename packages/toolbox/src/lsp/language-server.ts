import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import type { Env } from '../environment/environment.ts';
import { badRequest, fail, ToolboxError } from '../errors.ts';
import type { Program } from './programs.ts';
import { Rpc, RpcError } from './rpc.ts';
import { uriOf } from './uris.ts';

/** The first start of a server reads its libraries from a cold disk. */
const START_MS = 60_000;
const REQUEST_MS = 60_000;
/** How long the symbols of a project are waited for: large ones take seconds to be found. */
const SETTLE_MS = 15_000;
/** A polite end, then the group is killed. */
const STOP_MS = 1_000;
/** Largest document that is sent to a server. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

const LANGUAGE_IDS: Readonly<Record<string, string>> = {
  '.py': 'python', '.pyi': 'python', '.ts': 'typescript', '.mts': 'typescript', '.cts': 'typescript', '.tsx': 'typescriptreact',
  '.js': 'javascript', '.mjs': 'javascript', '.cjs': 'javascript', '.jsx': 'javascriptreact', '.json': 'json',
};

/** Flat symbols are what clients read, plain text is what they insert. */
const CAPABILITIES = {
  general: { positionEncodings: ['utf-16'] },
  textDocument: {
    synchronization: { didSave: false },
    documentSymbol: { hierarchicalDocumentSymbolSupport: false },
    completion: { contextSupport: true, completionItem: { snippetSupport: false, documentationFormat: ['markdown', 'plaintext'] } },
  },
  workspace: { configuration: true, workspaceFolders: true, symbol: {} },
};

interface Document {
  version: number;
  /** Size and time of change of what the server was told, so that a change on disk is noticed. */
  stamp: string;
}

/** One running language server for one project. */
export class LanguageServer {
  readonly root: string;
  readonly language: string;
  readonly needsOpenFile: boolean;
  readonly #child: ChildProcess;
  readonly #rpc: Rpc;
  readonly #documents = new Map<string, Document>();
  readonly #settled: Promise<void>;
  /** Resolved when the process has ended, whatever the cause. */
  readonly ended: Promise<void>;

  /** Started and initialised; throws when it cannot be, and then leaves no process. */
  static async start(program: Program, root: string, language: string, env: Env): Promise<LanguageServer> {
    const server = new LanguageServer(program, root, language, env);
    try {
      const uri = uriOf(root);
      await server.#request('initialize', {
        processId: process.pid, rootPath: root, rootUri: uri, capabilities: CAPABILITIES,
        workspaceFolders: [{ uri, name: basename(root) || '/' }],
      }, AbortSignal.timeout(START_MS));
      server.#rpc.notify('initialized', {});
      return server;
    } catch (error) {
      server.kill();
      throw error;
    }
  }

  private constructor(program: Program, root: string, language: string, env: Env) {
    this.root = root;
    this.language = language;
    this.needsOpenFile = program.needsOpenFile ?? false;
    const [file, ...args] = program.command as [string, ...string[]];
    const child = spawn(file, args, { cwd: root, env, detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
    this.#child = child;
    let settle!: () => void;
    this.#settled = new Promise((resolve) => (settle = resolve));
    if (program.settled === undefined) settle();
    else setTimeout(settle, SETTLE_MS).unref();
    this.#rpc = new Rpc(child.stdout!, child.stdin!, {
      answer: (method, params) => answer(method, params, root),
      notified: (method, params) => {
        const { message } = (params ?? {}) as { message?: unknown };
        if (method === 'window/logMessage' && typeof message === 'string' && program.settled?.test(message)) settle();
      },
    }, () => this.kill());
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#rpc.end(fail('LSP_SERVER_NOT_INITIALIZED', `bad request: server not initialized: the language server ${reason}`));
        settle();
        this.kill();
        resolve();
      };
      child.once('error', (error) => end(`cannot be started: ${error.message}`));
      child.once('exit', (code, signal) => end(`has ended (${signal ?? code})`));
    });
  }

  /** Tells the server of a file, or of its present text when it knows the file already. */
  async open(path: string): Promise<void> {
    const facts = await stat(path, { bigint: true });
    if (!facts.isFile()) throw badRequest(`not a file: ${path}`);
    if (facts.size > MAX_DOCUMENT_BYTES) throw badRequest(`file too large for a language server: ${path}`);
    const stamp = `${facts.size} ${facts.mtimeNs} ${facts.ino}`;
    const known = this.#documents.get(path);
    if (known?.stamp === stamp) return;
    const text = await readFile(path, 'utf8');
    const uri = uriOf(path);
    const document = this.#documents.get(path);
    if (document) {
      document.version++;
      document.stamp = stamp;
      this.#rpc.notify('textDocument/didChange', { textDocument: { uri, version: document.version }, contentChanges: [{ text }] });
    } else {
      this.#documents.set(path, { version: 1, stamp });
      this.#rpc.notify('textDocument/didOpen', { textDocument: { uri, languageId: LANGUAGE_IDS[extname(path)] ?? this.language, version: 1, text } });
    }
  }

  close(path: string): void {
    if (this.#documents.delete(path)) this.#rpc.notify('textDocument/didClose', { textDocument: { uri: uriOf(path) } });
  }

  get hasOpenFiles(): boolean {
    return this.#documents.size > 0;
  }

  /** A question about one file, whose present text the server is told first. One that the client never opened is not kept open. */
  async askAbout(path: string, method: string, params: object, gone: AbortSignal): Promise<unknown> {
    const temporary = !this.#documents.has(path);
    await this.open(path);
    try {
      return await this.#request(method, { ...params, textDocument: { uri: uriOf(path) } }, gone);
    } finally {
      if (temporary) this.close(path);
    }
  }

  /** A question about the project, once the server has found its files. */
  async askAboutProject(method: string, params: object, gone: AbortSignal): Promise<unknown> {
    await this.#settled;
    return await this.#request(method, params, gone);
  }

  async #request(method: string, params: unknown, gone: AbortSignal): Promise<unknown> {
    const late = AbortSignal.timeout(REQUEST_MS);
    try {
      return await this.#rpc.request(method, params, AbortSignal.any([gone, late]));
    } catch (error) {
      if (error instanceof RpcError) throw badRequest(`the language server refused ${method}: ${error.message}`);
      if (late.aborted && !gone.aborted) throw fail('REQUEST_TIMEOUT', `request timeout: the language server did not answer ${method} within ${REQUEST_MS / 1000} s`);
      if (error instanceof ToolboxError) throw error;
      throw Object.assign(new Error('the client went away'), { code: 'ECONNRESET' });
    }
  }

  /** Ends the server and everything it started. */
  async stop(): Promise<void> {
    const force = setTimeout(() => this.kill(), STOP_MS);
    await this.#rpc.request('shutdown').catch(() => undefined);
    this.#rpc.notify('exit');
    await this.ended;
    clearTimeout(force);
  }

  kill(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // The group is empty already.
    }
  }
}

/** What servers ask their client. Settings: none, so each takes its defaults. */
function answer(method: string, params: unknown, root: string): unknown {
  switch (method) {
    case 'workspace/configuration': return ((params as { items?: unknown[] } | null)?.items ?? []).map(() => null);
    case 'workspace/workspaceFolders': return [{ uri: uriOf(root), name: basename(root) || '/' }];
    case 'workspace/applyEdit': return { applied: false };
    case 'client/registerCapability':
    case 'client/unregisterCapability':
    case 'window/workDoneProgress/create':
    case 'window/showMessageRequest':
    case 'workspace/semanticTokens/refresh':
    case 'workspace/inlayHint/refresh':
    case 'workspace/codeLens/refresh':
    case 'workspace/diagnostic/refresh': return null;
    default: return undefined;
  }
}
