/** The HTTP side of the API: app factory, errors, validation. */
export { buildApp, type ApiServer, type Domain } from './app.ts';
export { createClientOrigin, type ClientOrigin } from './client-origin.ts';
export { API_ERRORS, ApiError, StatusError, type ApiErrorCode } from './errors.ts';
export { ValidationError } from './validation.ts';
export { API_VERSION, PADDOCK_VERSION } from './version.ts';
