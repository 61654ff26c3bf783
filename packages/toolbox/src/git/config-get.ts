import { type Exchange, query, requiredQuery, sendJson } from '../http/exchange.ts';
import { configKey } from './names.ts';
import { scopeOf } from './scope.ts';

/** `GET /git/config`. Wire: a key without a value is `null`, not an error. */
export async function handle(exchange: Exchange): Promise<void> {
  const key = configKey(requiredQuery(exchange, 'key'));
  const { git, option } = await scopeOf(exchange, query(exchange, 'scope'), query(exchange, 'path'));
  const result = await git.run(['config', option, '--includes', '-z', '--get', '--', key]);
  // 1: the key is not set.
  if (result.exitCode !== 0 && result.exitCode !== 1) throw git.failure(result);
  sendJson(exchange, 200, { value: result.exitCode === 0 ? result.stdout.slice(0, -1) : null });
}
