import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Errors } from 'typebox/schema';
import { describe, expect, test } from 'vitest';
import { NOT_YET } from '../src/not-yet.ts';
import { ROUTES } from '../src/routes.ts';
import { EXAMPLES, REFUSALS, type Example } from './conformance-examples.ts';
import { broughtServers } from './language-servers.ts';
import { connect } from './websocket.ts';
import { type Reply, startToolbox, type Toolbox } from './toolbox.ts';

/** The toolbox's own description is no part of this repository; the walk runs where it lies beside it. */
const SPEC = process.env['PADDOCK_TOOLBOX_SPEC'] ?? join(import.meta.dirname, '../../../../shared/specs/toolbox.openapi.json');

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'body' | 'formData';
  readonly required?: boolean;
  readonly schema?: Schema;
}

type Schema = Readonly<Record<string, unknown>> & { readonly $ref?: string; readonly required?: readonly string[] };

interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<Record<string, { readonly schema?: Schema }>>;
}

interface Spec {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}

/** Routes of the toolbox that its description leaves out and clients call, or that tell a session by its name. */
const UNDESCRIBED = ['GET /project-dir', 'POST /files/upload', 'GET /process/pty/create-connect', 'DELETE /process/session/entrypoint'];

/** The description is of the latest wire; older clients get other forms of logs. */
const LATEST = { 'X-Daytona-SDK-Version': '0.216.0' };

const MISSING = new Set<string>(NOT_YET.map(([method, path]) => `${method} ${path}`));

const spec: Spec | null = existsSync(SPEC) ? (JSON.parse(readFileSync(SPEC, 'utf8')) as Spec) : null;
const operations = Object.entries(spec?.paths ?? {}).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const));
const routes = new Set<string>(ROUTES.map(([method, path]) => `${method} ${path}`));

test.runIf(spec === null)('the description of the toolbox', ({ skip }) => skip(`not on this machine: ${SPEC}; name another place by PADDOCK_TOOLBOX_SPEC`));

describe.runIf(spec !== null)('conformance to the description', () => {
  test('every operation has its route, and every route is described or known not to be', () => {
    expect(operations.length).toBeGreaterThan(95);
    expect(operations.map(([name]) => name).filter((name) => !routes.has(name))).toEqual([]);
    const described = new Set<string>(operations.map(([name]) => name));
    expect([...routes].filter((name) => !described.has(name)).sort()).toEqual([...UNDESCRIBED].sort());
  });

  test.each(REFUSALS)('%s refuses with the described %i %s', async (name, status, code, example) => {
    const toolbox = await startToolbox({ env: { PADDOCK_LSP_DIR: broughtServers() } });
    const [method, path] = name.split(' ') as [string, string];
    const reply = await send(toolbox, await stage(toolbox, method, path, example), null);
    expect([reply.status, reply.json]).toEqual([status, expect.objectContaining({ code, source: 'DAYTONA_DAEMON' })]);
    expectSchema(operations.find(([operation]) => operation === name)![1].responses[status]!.schema!, reply.json);
  });

  describe.each(operations)('%s', (name, operation) => {
    test('a good call is answered as described, one that lacks a parameter with a 400', async ({ skip }) => {
      const toolbox = await startToolbox({ env: { PADDOCK_LSP_DIR: broughtServers() } });
      const [method, path] = name.split(' ') as [string, string];
      if (MISSING.has(name)) {
        expect((await toolbox.send(method, path.replace(/\{\w+\}/g, 'x'))).status).toBe(501);
        return skip('answers 501: not offered by this server yet');
      }
      const example = EXAMPLES[name];
      if (example === undefined) throw new Error(`no example of a call of ${name}`);
      const call = await stage(toolbox, method, path, example);

      for (const parameter of required(operation, example)) {
        const reply = await send(toolbox, call, parameter);
        expect([parameter, reply.status, reply.text]).toEqual([parameter, 400, expect.any(String)]);
        expectSchema({ $ref: '#/definitions/ErrorResponse' }, reply.json);
      }
      for (const body of bodyOf(operation) === undefined ? [] : ['', '{', '[]', 'null', '"text"']) {
        if (body === '' && required(operation, example).length === 0) continue;
        const reply = await toolbox.send(method, call.url(null), { body });
        expect([body, reply.status, reply.text]).toEqual([body, 400, expect.any(String)]);
        expectSchema({ $ref: '#/definitions/ErrorResponse' }, reply.json);
      }

      if (example.webSocket) {
        expect((await send(toolbox, call, null)).status).toBe(426);
        const peer = await connect(toolbox, call.url(null));
        expect(peer.refused).toBeNull();
        expect(Object.keys(operation.responses)).toContain('101');
        return;
      }
      const reply = await send(toolbox, call, null);
      expect([reply.status, reply.text]).toEqual([example.status ?? 200, expect.any(String)]);
      const response = operation.responses[reply.status];
      expect(Object.keys(operation.responses)).toContain(String(reply.status));
      const schema = response!.schema;
      // The description has no word on what a bulk upload says.
      if (schema === undefined) expect(name === 'POST /files/bulk-upload' ? '' : reply.text).toBe('');
      else if (isJson(reply)) expectSchema(schema, reply.json);
      else expect([name, schema]).toEqual([name, expect.toSatisfy((it: Schema) => it['type'] === 'file' || it.$ref === '#/definitions/gin.H')]);
    });
  });
});

interface Call {
  readonly method: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>> | undefined;
  readonly raw: Example['raw'];
  url(without: string | null): string;
}

async function stage(toolbox: Toolbox, method: string, path: string, example: Example): Promise<Call> {
  if (example.stage !== undefined) expect((await toolbox.exec(example.stage)).json).toMatchObject({ exitCode: 0 });
  const found = (await example.before?.(toolbox)) ?? {};
  const segments = { ...example.segments, ...found.segments };
  const query = { ...example.query, ...(example.body === undefined ? (found.body as Record<string, string> | undefined) : {}) };
  const filled = path.replace(/\{(\w+)\}/g, (_, segment: string) => encodeURIComponent(segments[segment]!));
  return {
    method, query, raw: example.raw,
    body: example.body === undefined ? undefined : { ...example.body, ...found.body },
    url: (without) => `${filled}?${new URLSearchParams(Object.entries(query).filter(([name]) => name !== without)).toString()}`,
  };
}

function send(toolbox: Toolbox, call: Call, without: string | null): Promise<Reply> {
  if (call.raw !== undefined) return toolbox.send(call.method, call.url(without), { ...call.raw, headers: { ...call.raw.headers, ...LATEST } });
  const body = call.body === undefined ? undefined : JSON.stringify({ ...call.body, ...(without === null ? {} : { [without]: undefined }) });
  return toolbox.send(call.method, call.url(without), { body, headers: LATEST });
}

const bodyOf = (operation: Operation): Schema | undefined => operation.parameters?.find((parameter) => parameter.in === 'body')?.schema;

/** Names of what must be there: parameters of the query, and fields of the body. */
function required(operation: Operation, example: Example): string[] {
  const reference = bodyOf(operation)?.$ref?.replace('#/definitions/', '');
  const fields = reference === undefined ? [] : (spec!.definitions[reference]!.required ?? []);
  const parameters = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query' && parameter.required).map(({ name }) => name);
  return [...parameters, ...fields].filter((name) => !example.defaulted?.includes(name));
}

const isJson = (reply: Reply): boolean => /^application\/json\b/.test(reply.headers['content-type'] ?? '');

/** The description is JSON Schema in all that it says about bodies. */
function expectSchema(schema: Schema, value: unknown): void {
  const [holds, errors] = Errors({ definitions: spec!.definitions, ...schema }, value);
  expect({ holds, errors: holds ? [] : errors, value }).toMatchObject({ holds: true });
}
