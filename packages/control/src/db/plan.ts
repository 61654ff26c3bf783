import type { QueryResultRow } from 'pg';

/**
 * One SQL statement with its values. Only `store.ts` files make plans; whoever runs one sees no SQL.
 * A plan with a name is prepared once for each connection, so the name must stand for exactly one text.
 */
export interface Plan<Row extends QueryResultRow = QueryResultRow> {
  readonly name?: string;
  readonly text: string;
  readonly values: readonly unknown[];
  /** Never set; carries the row type. */
  readonly row?: Row;
}

export interface Queryable {
  /** All rows. */
  query<Row extends QueryResultRow>(plan: Plan<Row>): Promise<Row[]>;
  /** First row or null. */
  one<Row extends QueryResultRow>(plan: Plan<Row>): Promise<Row | null>;
  /** Number of rows the statement touched. */
  run(plan: Plan): Promise<number>;
}

/** @param name unique in the program */
export function plan<Row extends QueryResultRow = QueryResultRow>(name: string, text: string, values: readonly unknown[] = []): Plan<Row> {
  return { name, text, values };
}

/** For texts that are built from filters: each combination would leave a prepared statement behind. */
export function unnamedPlan<Row extends QueryResultRow = QueryResultRow>(text: string, values: readonly unknown[] = []): Plan<Row> {
  return { text, values };
}
