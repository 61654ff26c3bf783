import { type Exchange, sendJson } from '../http/exchange.ts';
import { JsonStream } from '../http/json-stream.ts';
import { splitRecords } from './records.ts';
import { queriedRepository } from './repository.ts';

/** Hash, author, author's time and message, each ended by NUL. */
const FORMAT = '%H%x00%an%x00%ae%x00%aI%x00%B';
const FIELDS = 5;

/** `GET /git/history`: every commit that HEAD reaches, newest first; none before the first commit. */
export async function handle(exchange: Exchange): Promise<void> {
  const git = await queriedRepository(exchange);
  const born = await git.run(['rev-parse', '--quiet', '--verify', 'HEAD^{commit}']);
  if (born.exitCode !== 0) return sendJson(exchange, 200, []);
  const list = new JsonStream(exchange, '[', ']');
  const ended = await git.stream(['log', '-z', `--format=tformat:${FORMAT}`, '--no-show-signature', 'HEAD', '--'], {}, async (stdout) => {
    let fields: string[] = [];
    for await (const field of splitRecords(stdout)) {
      if (fields.push(field) < FIELDS) continue;
      const [hash, author, email, timestamp, message] = fields as [string, string, string, string, string];
      // The line break that ends the last line is git's, not the author's.
      await list.add({ hash, author, email, message: message.replace(/\n$/, ''), timestamp });
      fields = [];
    }
  });
  if (ended.exitCode !== 0) throw git.failure({ ...ended, stdout: '' });
  list.end();
}
