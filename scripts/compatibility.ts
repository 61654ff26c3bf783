// Writes the tables of COMPATIBILITY.md from what a running server says of itself.
// usage: npm run compatibility -- http://localhost:3000/api-json   (e2e/sdk/compatibility-page.test.ts fails when the page is stale)
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NOT_YET } from '../packages/toolbox/src/not-yet.ts';
import { ROUTES } from '../packages/toolbox/src/routes.ts';
import { DIFFERS } from './compatibility-notes.ts';

interface Row {
  readonly operation: string;
  readonly status: 'works' | 'differs' | 'not yet';
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly tags?: readonly string[] }>>>>;
}

export function controlRows(document: OpenApi): Row[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { tags }]) => row(`${method.toUpperCase()} ${path}`, tags?.includes('not-yet') ?? false)));
}

export function toolboxRows(): Row[] {
  const missing = new Set(NOT_YET.map(([method, path]) => `${method} ${path}`));
  return ROUTES.map(([method, path]) => row(`${method} ${path}`, missing.has(`${method} ${path}`)));
}

function row(operation: string, missing: boolean): Row {
  return { operation, status: missing ? 'not yet' : operation in DIFFERS ? 'differs' : 'works' };
}

export function table(rows: readonly Row[]): string {
  const served = rows.filter(({ status }) => status !== 'not yet');
  const missing = rows.filter(({ status }) => status === 'not yet');
  return [
    `${served.length} of ${rows.length} operations are served.`,
    '',
    '| operation | | note |',
    '|---|---|---|',
    ...served.map(({ operation, status }) => `| \`${operation}\` | ${status} | ${DIFFERS[operation] ?? ''} |`),
    '',
    `<details><summary>Not yet (${missing.length}): these answer 501 with the error envelope</summary>`,
    '',
    ...missing.map(({ operation }) => `- \`${operation}\``),
    '',
    '</details>',
  ].join('\n');
}

/** Replaces what stands between the markers `<!-- name -->` and `<!-- /name -->`. */
export function fill(page: string, name: string, content: string): string {
  const [before, rest] = page.split(`<!-- ${name} -->`);
  const after = rest?.split(`<!-- /${name} -->`)[1];
  if (before === undefined || after === undefined) throw new Error(`COMPATIBILITY.md has no place "${name}"`);
  return `${before}<!-- ${name} -->\n${content}\n<!-- /${name} -->${after}`;
}

export const PAGE = fileURLToPath(new URL('../COMPATIBILITY.md', import.meta.url));

export async function render(page: string, openApiUrl: string): Promise<string> {
  const document = (await (await fetch(openApiUrl)).json()) as OpenApi;
  return fill(fill(page, 'control', table(controlRows(document))), 'toolbox', table(toolboxRows()));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const url = process.argv[2];
  if (url === undefined) throw new Error('usage: npm run compatibility -- http://localhost:3000/api-json');
  writeFileSync(PAGE, await render(readFileSync(PAGE, 'utf8'), url));
}
