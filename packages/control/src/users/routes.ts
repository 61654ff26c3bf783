import { UserDto } from '@paddock/contract';
import { principalOf } from '../auth/index.ts';
import type { Database } from '../db/index.ts';
import { ApiError, type ApiServer } from '../http/index.ts';
import { userById } from './store.ts';

export function userRoutes(api: ApiServer, { db }: { readonly db: Database }): void {
  api.get('/users/me', {
    schema: { tags: ['users'], operationId: 'getAuthenticatedUser', response: { 200: UserDto } },
  }, async (request) => {
    const user = await db.one(userById(principalOf(request).userId));
    if (!user) throw new ApiError('INVALID_CREDENTIALS'); // deleted since the key was checked
    return { id: user.id, name: user.name, email: user.email, emailVerified: user.email_verified, publicKeys: [], createdAt: user.created_at.toISOString() };
  });
}
