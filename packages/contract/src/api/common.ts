import { Type, type TSchema, type TUnsafe } from 'typebox';

/** One of a closed set of texts; emitted as `{type: string, enum}` as the clients' generators want it. */
export function StringEnum<const Values extends readonly string[]>(values: Values, options: Record<string, unknown> = {}): TUnsafe<Values[number]> {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options });
}

/** Key always present, value may be null. */
export function Nullable<Schema extends TSchema>(schema: Schema) {
  return Type.Union([schema, Type.Null()]);
}

/** wire: dates are ISO 8601 in UTC with milliseconds. */
export const Timestamp = Type.String({ format: 'date-time' });

/** What an API key or a member's role may hold. */
export const PERMISSIONS = [
  'write:registries', 'delete:registries', 'write:snapshots', 'delete:snapshots', 'write:sandboxes', 'delete:sandboxes',
  'read:volumes', 'write:volumes', 'delete:volumes', 'write:regions', 'delete:regions', 'read:runners', 'write:runners',
  'delete:runners', 'read:audit_logs', 'manage:api_keys', 'manage:secrets', 'read:limits', 'manage:sso', 'read:billing',
  'manage:billing',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export const SANDBOX_CLASSES = ['linux-vm', 'container', 'android', 'windows'] as const;
export type SandboxClass = (typeof SANDBOX_CLASSES)[number];

/** Body of every error. */
export const ErrorReply = Type.Object({
  path: Type.String(), method: Type.Optional(Type.String()), timestamp: Timestamp, statusCode: Type.Integer(), error: Type.String(), message: Type.String(),
  code: Type.Optional(Type.String()), source: Type.String(),
});

/** Organization header of JWT callers; an API key's own organization always wins. */
export const ORGANIZATION_HEADER = 'x-daytona-organization-id';
