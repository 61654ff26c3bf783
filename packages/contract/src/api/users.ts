import { Type, type Static } from 'typebox';
import { Timestamp } from './common.ts';

export const UserDto = Type.Object({
  id: Type.String(), name: Type.String(), email: Type.String(), emailVerified: Type.Boolean(),
  publicKeys: Type.Array(Type.Object({ key: Type.String(), name: Type.String() })), createdAt: Timestamp,
}, { title: 'User' });
export type UserDto = Static<typeof UserDto>;
