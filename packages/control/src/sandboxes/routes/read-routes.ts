import { ListSandboxesResponse, PaginatedSandboxes, SandboxDto, ToolboxProxyUrl } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../../auth/index.ts';
import { ApiError, StatusError, type ApiServer } from '../../http/index.ts';
import { decodeCursor, encodeCursor, ListQuery, PageQuery } from '../list-query.ts';
import { IdOrName, sandboxOperation, type SandboxServices } from './params.ts';

/** wire: 100 unless asked otherwise. */
const PAGE_SIZE = 100;

export function readRoutes(api: ApiServer, { lifecycle, lists, toDto, toListItem, toolboxProxyUrl }: SandboxServices): void {
  const document = (operationId: string, response: Parameters<typeof Type.Array>[0]) => ({ tags: ['sandbox'], operationId, params: IdOrName, response: { 200: response } });

  api.get('/sandbox', {
    schema: { tags: ['sandbox'], operationId: 'listSandboxes', querystring: ListQuery, response: { 200: ListSandboxesResponse } },
  }, async (request) => {
    const { query } = request;
    const cursor = query.cursor ? decodeCursor(query.cursor) : null;
    if (query.cursor && !cursor) throw new StatusError(400, 'Invalid cursor');
    const { items, next } = await lists.list(principalOf(request).organizationId, query, parseLabels(query.labels), cursor, query.limit ?? PAGE_SIZE);
    return { items: items.map(toListItem), nextCursor: next ? encodeCursor(next) : null };
  });

  api.get('/sandbox/paginated', {
    schema: { tags: ['sandbox'], operationId: 'listSandboxesPaginated_deprecated', deprecated: true, querystring: PageQuery, response: { 200: PaginatedSandboxes } },
  }, async (request) => {
    const { query } = request;
    const [page, limit] = [query.page ?? 1, query.limit ?? PAGE_SIZE];
    const { items, total } = await lists.page(principalOf(request).organizationId, query, parseLabels(query.labels), page, limit);
    return { items: items.map(toDto), total, page, totalPages: Math.ceil(total / limit) };
  });

  api.get('/sandbox/:sandboxIdOrName', { schema: { ...sandboxOperation('getSandbox'), params: IdOrName } }, async (request) =>
    toDto(await lifecycle.find(principalOf(request).organizationId, request.params.sandboxIdOrName)));

  api.get('/sandbox/:sandboxIdOrName/toolbox-proxy-url', { schema: document('getToolboxProxyUrl', ToolboxProxyUrl) }, async (request) => {
    await lifecycle.find(principalOf(request).organizationId, request.params.sandboxIdOrName);
    return { url: toolboxProxyUrl };
  });

  // wire: sandboxes of class container have no forks, hence no parents.
  for (const [path, operationId] of [['forks', 'getSandboxForks'], ['ancestors', 'getSandboxAncestors']] as const) {
    api.get(`/sandbox/:sandboxIdOrName/${path}`, { schema: document(operationId, Type.Array(SandboxDto)) }, async (request) => {
      await lifecycle.find(principalOf(request).organizationId, (request.params as { sandboxIdOrName: string }).sandboxIdOrName);
      return [];
    });
  }
  api.get('/sandbox/:sandboxIdOrName/parent', { schema: { ...sandboxOperation('getSandboxParent'), params: IdOrName } }, async (request) => {
    const { id } = await lifecycle.find(principalOf(request).organizationId, request.params.sandboxIdOrName);
    throw new StatusError(404, `Sandbox with ID ${id} has no parent`);
  });

  // wire: without a telemetry store the answers are empty, not errors.
  const emptyPage = { items: [], total: 0, page: 1, totalPages: 0 };
  const telemetry = { logs: emptyPage, traces: emptyPage, 'traces/:traceId': [], metrics: { series: [] } };
  for (const [path, nothing] of Object.entries(telemetry)) {
    api.get(`/sandbox/:sandboxIdOrName/telemetry/${path}`, { schema: { tags: ['sandbox'], params: IdOrName } }, async (request) => {
      await lifecycle.find(principalOf(request).organizationId, (request.params as { sandboxIdOrName: string }).sandboxIdOrName);
      return nothing;
    });
  }

  api.get('/preview/:sandboxId/access', {
    schema: { tags: ['preview'], operationId: 'hasSandboxAccess', params: Type.Object({ sandboxId: Type.String() }) },
  }, async (request, reply) => {
    await lifecycle.find(principalOf(request).organizationId, request.params.sandboxId);
    // wire: bare text, not a JSON document.
    return reply.type('text/html; charset=utf-8').serializer(String).send('true');
  });
}

/** wire: a JSON object as text; all of its pairs must match. */
function parseLabels(text: string | undefined): Record<string, string> | null {
  if (!text) return null;
  let labels: unknown;
  try {
    labels = JSON.parse(text);
  } catch {
    labels = undefined; // refused below
  }
  const isMap = typeof labels === 'object' && labels !== null && !Array.isArray(labels) && Object.values(labels).every((value) => typeof value === 'string');
  if (!isMap) throw new ApiError('BAD_REQUEST', { reason: 'Invalid labels JSON format' });
  return labels as Record<string, string>;
}
