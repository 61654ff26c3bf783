import { Type, type Static } from 'typebox';
import { Nullable, PERMISSIONS, StringEnum, Timestamp } from './common.ts';

export const CreateApiKey = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 255 }),
  permissions: Type.Array(StringEnum(PERMISSIONS), { maxItems: 100 }),
  expiresAt: Type.Optional(Timestamp),
}, { title: 'CreateApiKey' });
export type CreateApiKey = Static<typeof CreateApiKey>;

/** The only reply that holds the key itself. */
export const ApiKeyResponse = Type.Object({
  name: Type.String(), value: Type.String(), createdAt: Timestamp, permissions: Type.Array(StringEnum(PERMISSIONS)), expiresAt: Nullable(Timestamp),
}, { title: 'ApiKeyResponse' });
export type ApiKeyResponse = Static<typeof ApiKeyResponse>;

/** `value` is masked: first three characters, twenty asterisks, last three. */
export const ApiKeyList = Type.Object({
  name: Type.String(), value: Type.String(), createdAt: Timestamp, permissions: Type.Array(StringEnum(PERMISSIONS)),
  lastUsedAt: Nullable(Timestamp), expiresAt: Nullable(Timestamp), userId: Type.String(),
}, { title: 'ApiKeyList' });
export type ApiKeyList = Static<typeof ApiKeyList>;
