import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DatabaseUnavailable } from '../db/index.ts';
import { ApiError } from '../http/errors.ts';
import type { Authenticator } from './authenticator.ts';
import { MEMBER, refusal, type Access, type Principal, type UserPrincipal } from './principal.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. Absent: every member of an organization. */
    access?: Access;
  }
  interface FastifyRequest {
    /** Set on every route that is not public. */
    principal: Principal | null;
  }
}

/**
 * Makes every route of this scope ask for a credential unless it says `access: 'public'`. Runs before the body is read:
 * a stranger's upload costs nothing.
 */
export function addAuthentication(app: FastifyInstance, authenticator: Authenticator): void {
  app.decorateRequest('principal', null);
  app.addHook('onRequest', async (request) => {
    const access = request.routeOptions.config.access ?? MEMBER;
    if (access === 'public' || request.is404) return;
    const principal = await resolve(request, authenticator);
    if (!principal) throw new ApiError('INVALID_CREDENTIALS');
    request.principal = principal;
    const { organizationId } = request.params as { organizationId?: string };
    const refused = refusal(access, principal, organizationId?.toLowerCase());
    if (refused) throw new ApiError(refused);
  });
}

/** The user behind a request of a route that needs one. */
export function principalOf(request: FastifyRequest): UserPrincipal {
  if (request.principal?.kind !== 'api-key') throw new ApiError('WRONG_CONTEXT');
  return request.principal;
}

async function resolve(request: FastifyRequest, authenticator: Authenticator): Promise<Principal | null> {
  const token = bearer(request.headers.authorization);
  if (token === null) return null;
  try {
    return await authenticator.authenticate(token);
  } catch (error) {
    if (error instanceof DatabaseUnavailable) throw new ApiError('AUTH_UNAVAILABLE');
    throw error;
  }
}

/** RFC 6750; the scheme's case does not matter. */
export function bearer(header: string | undefined): string | null {
  const match = header === undefined ? null : /^bearer +(\S+) *$/i.exec(header);
  return match ? match[1]! : null;
}
