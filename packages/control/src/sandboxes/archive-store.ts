import { plan, type Queryable } from '../db/index.ts';

/** No transfer that was cut off goes on for longer than this. */
const SETTLE = `interval '10 minutes'`;

const NOBODYS = `not exists (select 1 from sandboxes s where s.archive_id = a.id and s.state <> 'destroyed')`;

const unused = plan<{ id: string }>('archives-unused', `select a.id from archives a where ${NOBODYS} order by a.emptied_at nulls first limit 100`);

const emptied = (id: string) => plan('archives-emptied', 'update archives set emptied_at = coalesce(emptied_at, now()) where id = $1', [id]);

const forget = (ids: readonly string[]) => plan('archives-forget', `
  delete from archives a where id = any($1::uuid[]) and ${NOBODYS} and emptied_at < now() - ${SETTLE}`, [ids]);

/** Prefixes of the object store that hold, or held, disks of sandboxes. */
export class ArchiveStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Ids of archives whose objects are to be removed. */
  async unused(): Promise<readonly string[]> {
    return (await this.#db.query(unused)).map(({ id }) => id);
  }

  async emptied(id: string): Promise<void> {
    await this.#db.run(emptied(id));
  }

  /** @param ids that were empty when they were looked at: they go once nobody can be sending any more */
  async forget(ids: readonly string[]): Promise<void> {
    await this.#db.run(forget(ids));
  }
}
