/** Bodies of requests about images, parsed at the edge. */
import { IMAGE_NAME, type ImageSource, type PublicationRequest, type RegistryAuth } from '@paddock/contract';
import { parseReference } from '../registry-client/index.ts';
import { RunnerError } from '../runner-error.ts';
import { fields, invalid, object, parseId, string, strings } from './validate.ts';

export function parseImageName(text: string): string {
  return IMAGE_NAME.test(text) ? text : invalid(`An image's name matches ${IMAGE_NAME.source}, not ${JSON.stringify(text.slice(0, 64))}`);
}

export function parseSource(value: unknown): ImageSource {
  const body = object(value, 'the body');
  switch (body['kind']) {
    case 'recipe': return fields(body, { kind: string }, ['kind']) as unknown as ImageSource;
    case 'registry': return fields(body, { kind: string, reference: string, auth: authOrNull, published }, ['kind', 'reference', 'auth']) as unknown as ImageSource;
    case 'build': {
      const known = { kind: string, organizationId: string, dockerfile: string, contexts: urls, auths, localBases: imageNames };
      return fields(body, known, ['kind', 'organizationId', 'dockerfile', 'contexts', 'auths']) as unknown as ImageSource;
    }
    case 'sandbox': return fields(body, { kind: string, sandboxId: (text, name) => parseId(string(text, name)) }, ['kind', 'sandboxId']) as unknown as ImageSource;
    default: throw new RunnerError('INVALID_SPEC', '`kind` must be recipe, registry, build or sandbox');
  }
}

export function parsePublication(value: unknown): PublicationRequest {
  return fields(object(value, 'the body'), { repository, auth: authOrNull }, ['repository', 'auth']) as unknown as PublicationRequest;
}

export function parseInspection(value: unknown): { reference: string; auth: RegistryAuth | null } {
  return fields(object(value, 'the body'), { reference: string, auth: authOrNull }, ['reference', 'auth']) as unknown as { reference: string; auth: RegistryAuth | null };
}

function published(value: unknown, name: string): 'image' | 'disk' {
  return value === 'image' || value === 'disk' ? value : invalid(`\`${name}\` must be image or disk`);
}

/** Without tag and digest: what is written there is found by its digest. */
function repository(value: unknown, name: string): string {
  const text = string(value, name);
  try {
    const { host, repository: path } = parseReference(text);
    if (text === `${host}/${path}`) return text;
  } catch {
    // said below
  }
  return invalid(`\`${name}\` must be host/repository`);
}

function authOrNull(value: unknown, name: string): RegistryAuth | null {
  return value === null ? null : auth(value, name);
}

function auth(value: unknown, name: string): RegistryAuth {
  return fields(object(value, name), { host: string, username: string, password: string }, ['host', 'username', 'password']) as unknown as RegistryAuth;
}

function auths(value: unknown, name: string): readonly RegistryAuth[] {
  return Array.isArray(value) ? value.map((item) => auth(item, name)) : invalid(`\`${name}\` must be a list`);
}

function urls(value: unknown, name: string): readonly string[] {
  return strings(value, name).map((text) => (/^https?:$/.test(URL.parse(text)?.protocol ?? '') ? text : invalid(`\`${name}\` must be http or https URLs`)));
}

function imageNames(value: unknown, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(object(value, name)).map(([key, text]) => [key, parseImageName(string(text, name))]));
}
