import { plan } from '../db/index.ts';

export interface UserRow {
  id: string;
  name: string;
  email: string;
  email_verified: boolean;
  created_at: Date;
}

export const userById = (id: string) => plan<UserRow>('users_by_id', 'SELECT id, name, email, email_verified, created_at FROM users WHERE id = $1', [id]);

export const ensureAdminUser = (id: string, name: string, email: string) => plan('users_ensure_admin', `
  INSERT INTO users (id, name, email, email_verified, role) VALUES ($1, $2, $3, true, 'admin') ON CONFLICT (id) DO NOTHING`, [id, name, email]);
