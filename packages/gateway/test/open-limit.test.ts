import { expect, test } from 'vitest';
import { layoutOf } from '@paddock/contract';
import { LinkPool } from '../src/pool.ts';
import type { GatewayBackend } from '../src/index.ts';

test('one sandbox cannot take all connections, and gives them back', () => {
  const backend = { touch: () => {}, onSandboxChanged: () => () => {} } as unknown as GatewayBackend;
  const pool = new LinkPool(layoutOf('/nowhere', '/tmp'), backend);
  const held = [];
  for (let link = pool.acquire('a', true); link !== null; link = pool.acquire('a', true)) held.push(link);
  expect(held.length).toBeGreaterThanOrEqual(1000);
  expect(held.length).toBeLessThan(10_000);
  expect(pool.acquire('b', true)).not.toBeNull();
  pool.release(held[0] as never, true);
  expect(pool.acquire('a', true)).not.toBeNull();
  pool.close();
});
