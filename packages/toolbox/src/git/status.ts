import { type Exchange } from '../http/exchange.ts';
import { JsonStream } from '../http/json-stream.ts';
import { splitRecords } from './records.ts';
import { queriedRepository } from './repository.ts';

/** Wire: the words for one letter of git's two-letter code. */
const WORDS: Readonly<Record<string, string>> = {
  '.': 'Unmodified', '?': 'Untracked', M: 'Modified', T: 'Modified', A: 'Added', D: 'Deleted', R: 'Renamed', C: 'Copied', U: 'Updated but unmerged',
};

interface FileStatus {
  readonly name: string;
  /** The former name of a renamed or copied file. */
  readonly extra: string;
  readonly staging: string;
  readonly worktree: string;
}

/** `GET /git/status`: the branch against its upstream, and every file that is not clean. Also before the first commit. */
export async function handle(exchange: Exchange): Promise<void> {
  const git = await queriedRepository(exchange);
  const headers: Record<string, string> = {};
  let list: JsonStream | null = null;
  const begin = (): JsonStream => (list ??= new JsonStream(exchange, `${JSON.stringify(branchOf(headers)).slice(0, -1)},"fileStatus":[`, ']}'));
  const args = ['status', '--porcelain=v2', '-z', '--branch', '--untracked-files=all', '--find-renames', '--ahead-behind'];
  const ended = await git.stream(args, {}, async (stdout) => {
    let renamed: FileStatus | null = null;
    for await (const record of splitRecords(stdout)) {
      if (record.startsWith('# ')) {
        const [, key, ...value] = record.split(' ');
        headers[key!] = value.join(' ');
      } else if (renamed) {
        await begin().add({ ...renamed, extra: record });
        renamed = null;
      } else {
        const file = parse(record);
        if (record.startsWith('2 ')) renamed = file;
        else if (file) await begin().add(file);
      }
    }
  });
  if (ended.exitCode !== 0) throw git.failure({ ...ended, stdout: '' });
  begin().end();
}

/** Optional facts that do not hold are left out: `upstream`, `detached`. */
function branchOf(headers: Readonly<Record<string, string>>): object {
  const head = headers['branch.head'] ?? '';
  const counts = /^\+(\d+) -(\d+)$/.exec(headers['branch.ab'] ?? '');
  const upstream = headers['branch.upstream'];
  const detached = head === '(detached)';
  return {
    currentBranch: detached ? 'HEAD' : head,
    branchPublished: counts !== null,
    ahead: Number(counts?.[1] ?? 0),
    behind: Number(counts?.[2] ?? 0),
    ...(upstream === undefined ? {} : { upstream }),
    ...(detached ? { detached } : {}),
  };
}

/** Fields before the path, by the kind of the record. */
const FIELDS: Readonly<Record<string, number>> = { '1': 8, '2': 9, u: 10, '?': 1 };

function parse(record: string): FileStatus | null {
  const kind = record[0]!;
  const fields = FIELDS[kind];
  if (fields === undefined) return null;
  const parts = record.split(' ');
  const name = parts.slice(fields).join(' ');
  const code = kind === '?' ? '??' : kind === 'u' ? 'UU' : parts[1]!;
  return { name, extra: '', staging: WORDS[code[0]!] ?? 'Modified', worktree: WORDS[code[1]!] ?? 'Modified' };
}
