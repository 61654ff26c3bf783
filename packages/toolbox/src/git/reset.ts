import { badBody } from '../errors.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalText, optionalTexts } from '../http/fields.ts';
import { optionalRevision, pathspecs } from './names.ts';
import { onPaths } from './paths.ts';
import { exclusively, repositoryOf } from './repository.ts';

const MODES: ReadonlySet<string> = new Set(['soft', 'mixed', 'hard', 'merge', 'keep']);

/** `POST /git/reset`: the branch, or with `files` those paths of the index. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const mode = optionalText(body, 'mode') || 'mixed';
  if (!MODES.has(mode)) throw badBody(`invalid mode: ${mode.slice(0, 50)}, one of ${[...MODES].join(', ')} is expected`);
  const target = optionalRevision(body, 'target');
  const files = pathspecs(optionalTexts(body, 'files') ?? []);
  if (files.length > 0 && mode !== 'mixed') throw badBody(`mode ${mode} resets the whole repository: it cannot be limited to files`);
  const git = await repositoryOf(exchange, body);
  const to = target === undefined ? [] : [target];
  await exclusively(git, async () => {
    if (files.length > 0) await onPaths(git, ['reset', '--quiet', ...to], files);
    else await git.must(['reset', '--quiet', `--${mode}`, ...to, '--']);
  });
  sendEmpty(exchange, 200);
}
