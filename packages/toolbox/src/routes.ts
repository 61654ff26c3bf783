import * as init from './environment/init.ts';
import { handleHomeDir, handleVersion, handleWorkDir } from './environment/info.ts';
import type { Handler } from './http/exchange.ts';
import type { Route } from './http/router.ts';
import { type UpgradeRoute, webSocketOnly } from './http/upgrade.ts';
import { NOT_YET } from './not-yet.ts';

const now = (handle: Handler) => () => Promise.resolve({ handle });

/** Every route. What the start of a sandbox needs is loaded with the program, all else at its first request. */
export const ROUTES: readonly Route[] = [
  ['GET', '/version', now(handleVersion)],
  ['POST', '/init', now(init.handle)],
  ['POST', '/env', () => import('./environment/env.ts')],
  ['GET', '/work-dir', now(handleWorkDir)],
  ['GET', '/user-home-dir', now(handleHomeDir)],
  ['GET', '/project-dir', now(handleHomeDir)],

  ['POST', '/process/execute', () => import('./process/execute.ts')],
  ['POST', '/process/code-run', () => import('./process/code-run.ts')],

  ['GET', '/process/session', () => import('./sessions/list.ts')],
  ['POST', '/process/session', () => import('./sessions/create.ts')],
  ['GET', '/process/session/entrypoint', () => import('./sessions/get.ts')],
  ['DELETE', '/process/session/entrypoint', () => import('./sessions/delete.ts')],
  ['GET', '/process/session/entrypoint/logs', () => import('./sessions/command-logs.ts')],
  ['GET', '/process/session/{sessionId}', () => import('./sessions/get.ts')],
  ['DELETE', '/process/session/{sessionId}', () => import('./sessions/delete.ts')],
  ['POST', '/process/session/{sessionId}/exec', () => import('./sessions/execute.ts')],
  ['GET', '/process/session/{sessionId}/command/{commandId}', () => import('./sessions/command-info.ts')],
  ['POST', '/process/session/{sessionId}/command/{commandId}/input', () => import('./sessions/input.ts')],
  ['GET', '/process/session/{sessionId}/command/{commandId}/logs', () => import('./sessions/command-logs.ts')],

  ['GET', '/files', () => import('./files/list.ts')],
  ['DELETE', '/files', () => import('./files/delete.ts')],
  ['GET', '/files/info', () => import('./files/info.ts')],
  ['POST', '/files/folder', () => import('./files/folder.ts')],
  ['POST', '/files/move', () => import('./files/move.ts')],
  ['POST', '/files/permissions', () => import('./files/permissions.ts')],
  ['GET', '/files/find', () => import('./files/find.ts')],
  ['GET', '/files/search', () => import('./files/search.ts')],
  ['POST', '/files/replace', () => import('./files/replace.ts')],
  ['GET', '/files/download', () => import('./files/download.ts')],
  ['POST', '/files/bulk-download', () => import('./files/bulk-download.ts')],
  ['POST', '/files/bulk-upload', () => import('./files/bulk-upload.ts')],
  ['POST', '/files/upload', () => import('./files/upload.ts')],
  ['POST', '/files/upload-v2', () => import('./files/upload-v2.ts')],

  ['GET', '/port', () => import('./ports/list.ts')],
  ['GET', '/port/{port}/in-use', () => import('./ports/in-use.ts')],
  ['GET', '/system/metrics', () => import('./system/metrics.ts')],

  ['GET', '/git/status', () => import('./git/status.ts')],
  ['GET', '/git/history', () => import('./git/history.ts')],
  ['GET', '/git/branches', () => import('./git/branches.ts')],
  ['POST', '/git/branches', () => import('./git/branch-create.ts')],
  ['DELETE', '/git/branches', () => import('./git/branch-delete.ts')],
  ['POST', '/git/checkout', () => import('./git/checkout.ts')],
  ['POST', '/git/clone', () => import('./git/clone.ts')],
  ['POST', '/git/init', () => import('./git/init.ts')],
  ['POST', '/git/add', () => import('./git/add.ts')],
  ['POST', '/git/commit', () => import('./git/commit.ts')],
  ['POST', '/git/reset', () => import('./git/reset.ts')],
  ['POST', '/git/restore', () => import('./git/restore.ts')],
  ['POST', '/git/push', () => import('./git/push.ts')],
  ['POST', '/git/pull', () => import('./git/pull.ts')],
  ['GET', '/git/remotes', () => import('./git/remotes.ts')],
  ['POST', '/git/remotes', () => import('./git/remote-add.ts')],
  ['GET', '/git/config', () => import('./git/config-get.ts')],
  ['POST', '/git/config', () => import('./git/config-set.ts')],
  ['POST', '/git/config/user', () => import('./git/config-user.ts')],
  ['POST', '/git/credentials', () => import('./git/store-credentials.ts')],

  ['GET', '/process/pty', () => import('./pty/list.ts')],
  ['POST', '/process/pty', () => import('./pty/create.ts')],
  ['GET', '/process/pty/create-connect', now(webSocketOnly)],
  ['GET', '/process/pty/{sessionId}', () => import('./pty/get.ts')],
  ['DELETE', '/process/pty/{sessionId}', () => import('./pty/delete.ts')],
  ['GET', '/process/pty/{sessionId}/connect', now(webSocketOnly)],
  ['POST', '/process/pty/{sessionId}/resize', () => import('./pty/resize.ts')],

  ['GET', '/process/interpreter/context', () => import('./interpreter/context-list.ts')],
  ['POST', '/process/interpreter/context', () => import('./interpreter/context-create.ts')],
  ['DELETE', '/process/interpreter/context/{id}', () => import('./interpreter/context-delete.ts')],
  ['GET', '/process/interpreter/execute', now(webSocketOnly)],

  ['POST', '/lsp/start', () => import('./lsp/start.ts')],
  ['POST', '/lsp/stop', () => import('./lsp/stop.ts')],
  ['POST', '/lsp/did-open', () => import('./lsp/did-open.ts')],
  ['POST', '/lsp/did-close', () => import('./lsp/did-close.ts')],
  ['GET', '/lsp/document-symbols', () => import('./lsp/document-symbols.ts')],
  ['GET', '/lsp/workspacesymbols', () => import('./lsp/workspace-symbols.ts')],
  ['POST', '/lsp/completions', () => import('./lsp/completions.ts')],

  ...NOT_YET,
];

/** Routes out of HTTP, by WebSocket unless said otherwise. A path that also has a GET above answers plain requests there. */
export const UPGRADE_ROUTES: readonly UpgradeRoute[] = [
  ['/ssh', () => import('./ssh/connect.ts'), 'ssh'],
  ['/process/session/entrypoint/logs', () => import('./sessions/command-logs.ts')],
  ['/process/session/{sessionId}/command/{commandId}/logs', () => import('./sessions/command-logs.ts')],
  ['/process/interpreter/execute', () => import('./interpreter/execute.ts')],
  ['/process/pty/create-connect', () => import('./pty/create-connect.ts')],
  ['/process/pty/{sessionId}/connect', () => import('./pty/connect.ts')],
];
