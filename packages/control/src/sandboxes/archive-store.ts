import { plan, type Queryable } from '../db/index.ts';

/** No transfer that was cut off goes on for longer than this. */
const SETTLE = `interval '10 minutes'`;

const NOBODYS = `not exists (select 1 from sandboxes s where s.archive_id = a.id and s.state <> 'destroyed')`;

const unused = plan<{ id: string }>('archives-unused', `
  select a.id from archives a where ${NOBODYS} and (a.emptied_at is null or a.emptied_at < now() - ${SETTLE}) order by a.created_at limit 100`);

/** The second time is the last. */
const emptied = (id: string) => plan('archives-emptied', `
  update archives a set emptied_at = case when emptied_at is null then now() else '-infinity' end where id = $1 and ${NOBODYS}`, [id]);

const forget = plan('archives-forget', `delete from archives where emptied_at = '-infinity'`);

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

  async forget(): Promise<void> {
    await this.#db.run(forget);
  }
}
