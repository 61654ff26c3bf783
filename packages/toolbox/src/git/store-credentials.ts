import { workDir } from '../environment/places.ts';
import { badBody } from '../errors.ts';
import { type Exchange, readJson, sendEmpty } from '../http/exchange.ts';
import { optionalText, text } from '../http/fields.ts';
import { untilGone } from '../http/gone.ts';
import { checked } from './credentials.ts';
import { Git } from './git.ts';
import { exclusively } from './repository.ts';

/**
 * `POST /git/credentials`. Wire: the one operation that keeps credentials, as plain text in the user's `~/.git-credentials`, for every
 * git in the sandbox. They reach git by its stdin.
 */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const { username, password } = checked({ username: text(body, 'username'), password: text(body, 'password') });
  const host = optionalText(body, 'host') || 'github.com';
  const protocol = optionalText(body, 'protocol') || 'https';
  if (!/^[^\s/@\0]+$/.test(host)) throw badBody(`invalid host: ${host.slice(0, 200)}`);
  if (!/^[a-z][a-z0-9+.-]*$/i.test(protocol)) throw badBody(`invalid protocol: ${protocol.slice(0, 50)}`);
  const git = new Git(workDir, untilGone(exchange));
  await exclusively(git, async () => {
    const helpers = await git.run(['config', '--global', '-z', '--get-all', 'credential.helper']);
    if (!helpers.stdout.split('\0').includes('store')) await git.must(['config', '--global', '--add', 'credential.helper', 'store']);
    await git.must(['credential-store', 'store'], { stdin: `protocol=${protocol}\nhost=${host}\nusername=${username}\npassword=${password}\n\n` });
  });
  sendEmpty(exchange, 200);
}
