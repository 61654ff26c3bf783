import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalEnv, optionalText, optionalTexts } from '../http/fields.ts';
import { applyEdit } from './environment.ts';

/** `POST /env`: changes the environment of everything started later; what runs already keeps its own. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  applyEdit({
    set: optionalEnv(body, 'set') ?? {},
    unset: optionalTexts(body, 'unset') ?? [],
    unsetValuePrefix: optionalText(body, 'unsetValuePrefix'),
  });
  sendJson(exchange, 200, { message: 'Environment updated' });
}
