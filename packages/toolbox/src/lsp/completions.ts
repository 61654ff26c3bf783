import { badBody } from '../errors.ts';
import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { type Body, text } from '../http/fields.ts';
import { untilGone } from '../http/gone.ts';
import { serverOf } from './servers.ts';
import { documentPath } from './uris.ts';

/** Wire: the keys of an item that clients know; servers add private ones, which are of no use to them. */
const ITEM_KEYS = ['label', 'kind', 'detail', 'documentation', 'sortText', 'filterText', 'insertText'] as const;

/** `POST /lsp/completions`. Lines and characters count from 0. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const position = positionOf(body);
  const context = contextOf(body);
  const path = documentPath(text(body, 'uri'));
  const gone = untilGone(exchange);
  const server = await serverOf(text(body, 'languageId'), text(body, 'pathToProject'));
  const reply = await server.askAbout(path, 'textDocument/completion', { position, ...(context === undefined ? {} : { context }) }, gone);
  const list = (Array.isArray(reply) ? { items: reply } : (reply ?? {})) as { isIncomplete?: boolean; items?: Record<string, unknown>[] };
  sendJson(exchange, 200, { isIncomplete: list.isIncomplete ?? false, items: (list.items ?? []).map(known) });
}

function known(item: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(ITEM_KEYS.filter((key) => item[key] !== undefined && item[key] !== null).map((key) => [key, item[key]]));
}

function positionOf(body: Body): object {
  const position = body['position'] as { line?: unknown; character?: unknown } | null | undefined;
  const { line, character } = position ?? {};
  if (!isIndex(line) || !isIndex(character)) throw badBody("field 'position' must hold a line and a character, counted from 0");
  return { line, character };
}

/** Missing, or `{triggerKind, triggerCharacter?}`. */
function contextOf(body: Body): object | undefined {
  const context = (body['context'] ?? undefined) as { triggerKind?: unknown; triggerCharacter?: unknown } | undefined;
  if (context === undefined) return undefined;
  const { triggerKind, triggerCharacter } = context;
  if (!isIndex(triggerKind) || (triggerCharacter !== undefined && triggerCharacter !== null && typeof triggerCharacter !== 'string')) throw badBody("field 'context' must hold a triggerKind");
  return { triggerKind, ...(triggerCharacter ? { triggerCharacter } : {}) };
}

const isIndex = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0x7fffffff;
