import { readFileSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { PAGE, render } from '../../scripts/compatibility.ts';
import './support.ts';

test('COMPATIBILITY.md says of every operation what the server says', async () => {
  const page = readFileSync(PAGE, 'utf8');
  expect(await render(page, inject('apiUrl').replace(/\/api$/, '/api-json')), 'stale: npm run compatibility -- <server>/api-json').toBe(page);
});
