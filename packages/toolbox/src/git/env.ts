import { dirname } from 'node:path';
import { currentEnv, type Env } from '../environment/environment.ts';

/**
 * git variables of the sandbox that stay in force: how to reach remotes and where configuration lies. All others would
 * change what an operation means (GIT_DIR), print secrets (GIT_TRACE_CURL) or wait for somebody (GIT_ASKPASS, GIT_EDITOR).
 */
const KEPT: ReadonlySet<string> = new Set([
  'GIT_ALLOW_PROTOCOL', 'GIT_CONFIG_GLOBAL', 'GIT_CONFIG_NOSYSTEM', 'GIT_CONFIG_SYSTEM', 'GIT_EXEC_PATH', 'GIT_HTTP_LOW_SPEED_LIMIT',
  'GIT_HTTP_LOW_SPEED_TIME', 'GIT_HTTP_PROXY_AUTHMETHOD', 'GIT_HTTP_USER_AGENT', 'GIT_PROXY_COMMAND', 'GIT_PROXY_SSL_CAINFO',
  'GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_SSH_VARIANT', 'GIT_SSL_CAINFO', 'GIT_SSL_CAPATH', 'GIT_SSL_CERT', 'GIT_SSL_KEY',
  'GIT_SSL_NO_VERIFY', 'GIT_TEMPLATE_DIR', 'GIT_LFS_SKIP_SMUDGE',
]);

/**
 * The sandbox's environment for git in `cwd`: never a question to a terminal or a window, messages in English for the classification,
 * and no search of the parents for a repository. That list is separated by colons: a path with one cannot be in it.
 */
export function gitEnv(cwd: string): Env {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(currentEnv())) {
    if (!name.startsWith('GIT_') || KEPT.has(name)) env[name] = value;
  }
  delete env['LANGUAGE'];
  return {
    // A remote that sends nothing for ten minutes is taken for dead; large ones may well need minutes before their first byte.
    GIT_HTTP_LOW_SPEED_LIMIT: '1',
    GIT_HTTP_LOW_SPEED_TIME: '600',
    ...env,
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    SSH_ASKPASS: '',
    SSH_ASKPASS_REQUIRE: 'never',
    GIT_EDITOR: 'true',
    GIT_MERGE_AUTOEDIT: 'no',
    GIT_OPTIONAL_LOCKS: '0',
    ...(cwd.includes(':') ? {} : { GIT_CEILING_DIRECTORIES: dirname(cwd) }),
  };
}
