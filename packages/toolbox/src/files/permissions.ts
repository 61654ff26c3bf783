import { chmod, chown, readFile, stat } from 'node:fs/promises';
import { badRequest, errnoOf } from '../errors.ts';
import { type Exchange, query, sendEmpty } from '../http/exchange.ts';
import { pathParameter, permissionBits } from './paths.ts';

/** `POST /files/permissions`: mode (octal), then owner and group by name or number; each may be left out. */
export async function handle(exchange: Exchange): Promise<void> {
  const path = pathParameter(exchange);
  const mode = query(exchange, 'mode');
  const owner = query(exchange, 'owner');
  const group = query(exchange, 'group');
  const bits = mode ? permissionBits(mode) : null;
  const found = await stat(path);
  const uid = owner ? await idOf(owner, '/etc/passwd', 'user') : null;
  const gid = group ? await idOf(group, '/etc/group', 'group') : null;
  if (bits !== null) await chmod(path, bits);
  if (uid !== null || gid !== null) {
    await chown(path, uid ?? found.uid, gid ?? found.gid).catch((error: unknown) => {
      // Wire: a change of owner that the system refuses is the caller's mistake, 400.
      throw errnoOf(error) === 'EPERM' ? badRequest(`failed to change owner: operation not permitted: ${path}`) : error;
    });
  }
  sendEmpty(exchange, 200);
}

/** Largest id that is one: the next means "leave as it is" to the kernel. */
const MAX_ID = 2 ** 32 - 2;

async function idOf(name: string, table: string, kind: string): Promise<number> {
  const lines = (await readFile(table, 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  const row = lines.find((fields) => fields[0] === name);
  if (row) return Number(row[2]);
  if (/^\d{1,10}$/.test(name) && Number(name) <= MAX_ID) return Number(name);
  throw badRequest(`unknown ${kind}: ${name.slice(0, 100)}`);
}
