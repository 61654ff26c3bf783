import { type Exchange, readJson, sendJson } from '../http/exchange.ts';
import { optionalBoolean, text } from '../http/fields.ts';
import { exclusively, repositoryOf } from './repository.ts';

/** `POST /git/commit`: what is staged, with author and committer as given and the message word for word. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const [message, name, email] = [text(body, 'message'), text(body, 'author'), text(body, 'email')];
  const empty = optionalBoolean(body, 'allow_empty') ? ['--allow-empty'] : [];
  const git = await repositoryOf(exchange, body);
  const env = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email };
  const hash = await exclusively(git, async () => {
    await git.must(['commit', '--quiet', '--cleanup=verbatim', ...empty, '--file=-'], { stdin: message, env });
    return await git.must(['rev-parse', 'HEAD']);
  });
  sendJson(exchange, 200, { hash: hash.trimEnd() });
}
