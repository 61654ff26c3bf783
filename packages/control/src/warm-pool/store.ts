import { plan, type Queryable } from '../db/index.ts';
import { NO_ORGANIZATION, SANDBOX, type Sandbox } from '../sandboxes/index.ts';

const waiting = plan<Sandbox>('warm-waiting', `
  select ${SANDBOX} from sandboxes s
  where s.organization_id = '${NO_ORGANIZATION}' and s.state not in ('destroying', 'destroyed') order by s.created_at`);

export class WarmStore {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Every sandbox that has no owner, in whatever state. */
  waiting(): Promise<Sandbox[]> {
    return this.#db.query(waiting);
  }
}
