import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalText, text } from '../http/fields.ts';
import { exclusively } from './repository.ts';
import { scopeOf } from './scope.ts';

/** `POST /git/config/user`: who commits. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const [name, email] = [text(body, 'name'), text(body, 'email')];
  const { git, option } = await scopeOf(exchange, optionalText(body, 'scope'), optionalText(body, 'path'));
  await exclusively(git, async () => {
    await git.must(['config', option, '--replace-all', '--', 'user.name', name]);
    await git.must(['config', option, '--replace-all', '--', 'user.email', email]);
  });
  sendEmpty(exchange, 200);
}
