import { type Exchange, sendJson } from '../http/exchange.ts';
import { queriedRepository } from './repository.ts';

/** `GET /git/remotes`: names with their addresses as configured. */
export async function handle(exchange: Exchange): Promise<void> {
  const git = await queriedRepository(exchange);
  const result = await git.run(['config', '-z', '--get-regexp', '^remote\\..*\\.url$']);
  // 1: nothing matches.
  if (result.exitCode !== 0 && result.exitCode !== 1) throw git.failure(result);
  const remotes = new Map<string, string>();
  for (const record of result.stdout.split('\0')) {
    const [, name, url] = /^remote\.(.*)\.url\n(.*)$/s.exec(record) ?? [];
    if (name !== undefined && !remotes.has(name)) remotes.set(name, url!);
  }
  sendJson(exchange, 200, { remotes: [...remotes].map(([name, url]) => ({ name, url })) });
}
