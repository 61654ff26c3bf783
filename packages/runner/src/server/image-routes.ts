/** Images and what registries say of them. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { InspectedImage, RegistryAuth } from '@paddock/contract';
import type { Images, Publications } from '../images/index.ts';
import { RunnerError } from '../runner-error.ts';
import { parseImageName, parseInspection, parsePublication, parseSource } from './image-bodies.ts';
import type { Route } from './route.ts';

export interface ImageRouteParts {
  readonly images: Pick<Images, 'list' | 'find' | 'put' | 'remove' | 'log'>;
  readonly publications: Pick<Publications, 'put' | 'remove'>;
  /** @throws RunnerError IMAGE_NOT_FOUND, REGISTRY_FAILED, REGISTRY_UNAVAILABLE */
  readonly inspect: (reference: string, auth: RegistryAuth | null, signal: AbortSignal) => Promise<InspectedImage>;
}

export function imageRoutes({ images, publications, inspect }: ImageRouteParts): readonly Route[] {
  const one = { path: /^\/v1\/images\/([^/]+)$/, parse: parseImageName } as const;
  const publication = { path: /^\/v1\/images\/([^/]+)\/publication$/, parse: parseImageName } as const;
  return [
    { method: 'GET', path: /^\/v1\/images$/, run: () => ({ images: images.list() }) },
    { ...one, method: 'GET', run: ({ id }) => images.find(id) ?? notFound(id) },
    { ...one, method: 'PUT', operation: 'put image', status: 202, run: ({ id, body }) => images.put(id, parseSource(body)) },
    { ...one, method: 'DELETE', operation: 'remove image', run: ({ id }) => Promise.all([publications.remove(id), images.remove(id)]).then(() => undefined) },
    {
      ...publication, method: 'PUT', operation: 'publish image', status: 202,
      run: ({ id, body }) => {
        const request = parsePublication(body);
        return images.find(id)?.state === 'ready' ? publications.put(id, request) : notFound(id);
      },
    },
    { ...publication, method: 'DELETE', operation: 'end publication', run: ({ id }) => publications.remove(id) },
    {
      method: 'GET', path: /^\/v1\/images\/([^/]+)\/log$/, parse: parseImageName,
      run: ({ id, query, response }) => {
        const signal = closing(response);
        void sendLog(response, images.log(id, query.get('follow') === 'true', signal) ?? notFound(id), signal);
        return null;
      },
    },
    {
      method: 'POST', path: /^\/v1\/registry\/inspect$/, operation: 'inspect',
      run: ({ body, response }) => {
        const { reference, auth } = parseInspection(body);
        return inspect(reference, auth, closing(response));
      },
    },
  ];
}

async function sendLog(response: ServerResponse, text: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  response.flushHeaders();
  try {
    for await (const chunk of text) if (!response.write(chunk)) await once(response, 'drain', { signal });
    response.end();
  } catch {
    response.destroy(); // the reader went away, or the file cannot be read: a reply that is cut short says so
  }
}

/** Aborted when the reply is done or its reader is gone. */
function closing(response: ServerResponse): AbortSignal {
  const closed = new AbortController();
  response.once('close', () => closed.abort());
  return closed.signal;
}

function notFound(name: string): never {
  throw new RunnerError('IMAGE_NOT_FOUND', `There is no image "${name}" on this runner`);
}
