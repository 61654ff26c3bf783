import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalText, presentText, text } from '../http/fields.ts';
import { configKey } from './names.ts';
import { exclusively } from './repository.ts';
import { scopeOf } from './scope.ts';

/** `POST /git/config`: the one value of a key, in place of however many it had. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const key = configKey(text(body, 'key'));
  const value = presentText(body, 'value');
  const { git, option } = await scopeOf(exchange, optionalText(body, 'scope'), optionalText(body, 'path'));
  await exclusively(git, () => git.must(['config', option, '--replace-all', '--', key, value]));
  sendEmpty(exchange, 200);
}
