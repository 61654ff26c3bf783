import { errorBody } from '@paddock/contract';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { isConnectionLoss, LockTimeout, sqlState } from '../db/index.ts';
import { ApiError, StatusError } from './errors.ts';
import { ValidationError } from './validation.ts';

/** Turns whatever was thrown into the envelope. Only what nobody foresaw becomes 500, and that is logged with its stack. */
export function replyWithError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = toKnown(error, request);
  if (known.statusCode === 500) request.log.error({ err: error, route: request.routeOptions?.url }, 'unexpected error');
  if (known.statusCode === 503) void reply.header('retry-after', '1');
  // After a body that was not read to its end the connection cannot be used for another request.
  if (known.statusCode === 413) void reply.header('connection', 'close');
  const { url, method } = request.raw;
  void reply.code(known.statusCode).type('application/json; charset=utf-8')
    .send(JSON.stringify(errorBody('DAYTONA_API', known.statusCode, known.message, { path: url ?? request.url, method: method ?? request.method })));
}

function toKnown(error: unknown, request: FastifyRequest): { readonly statusCode: number; readonly message: string } {
  if (error instanceof ApiError || error instanceof StatusError) return error;
  if (error instanceof ValidationError) return { statusCode: 400, message: error.message };
  if (isConnectionLoss(error)) return new ApiError('UNAVAILABLE');
  if (error instanceof LockTimeout) return new ApiError('BUSY');
  // SQLSTATE class 22, "data exception": the value came from outside and no check of ours knew that it cannot be stored.
  if (sqlState(error)?.startsWith('22')) return new ApiError('BAD_REQUEST', { reason: 'The request holds a value that cannot be stored' });
  return fromFastify(error as Partial<FastifyError>, request) ?? new ApiError('UNEXPECTED');
}

function fromFastify(error: Partial<FastifyError>, request: FastifyRequest): ApiError | StatusError | null {
  switch (error?.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': return new ApiError('BODY_TOO_LARGE', { limit: request.routeOptions?.bodyLimit ?? 0 });
    case 'FST_ERR_BAD_URL': return new ApiError('INVALID_URL', { reason: 'it cannot be percent-decoded' });
    case 'FST_ERR_MAX_PARAM_LENGTH': return new ApiError('INVALID_URL', { reason: 'a part of the path is too long' });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH': return new ApiError('BAD_REQUEST', { reason: 'The body is not as long as Content-Length says' });
    default: return isClientError(error?.statusCode) ? new StatusError(error.statusCode!, String(error.message)) : null;
  }
}

function isClientError(status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500;
}
