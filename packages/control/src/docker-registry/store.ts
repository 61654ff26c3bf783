import type { RegistryType } from '@paddock/contract';
import { plan } from '../db/index.ts';

export interface RegistryRow {
  id: string;
  organization_id: string;
  name: string;
  url: string;
  host: string;
  username: string;
  password: Buffer;
  project: string;
  registry_type: RegistryType;
  is_default: boolean;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = 'id, organization_id, name, url, host, username, password, project, registry_type, is_default, created_at, updated_at';

export type NewRegistry = Pick<RegistryRow, 'id' | 'organization_id' | 'name' | 'url' | 'host' | 'username' | 'password' | 'project'>;

/** Makes those who count an organization's registries to add one more wait for each other. */
export const lockOrganization = (organizationId: string) => plan('docker_registries_lock', 'SELECT id FROM organizations WHERE id = $1 FOR UPDATE', [organizationId]);

/** @returns no row when the organization has as many as it may */
export const insertRegistry = (registry: NewRegistry, limit: number) => plan<RegistryRow>('docker_registries_insert', `
  INSERT INTO docker_registries (id, organization_id, name, url, host, username, password, project)
  SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE (SELECT count(*) FROM docker_registries WHERE organization_id = $2) < $9 RETURNING ${COLUMNS}`,
[registry.id, registry.organization_id, registry.name, registry.url, registry.host, registry.username, registry.password, registry.project, limit]);

export const registriesOf = (organizationId: string) => plan<RegistryRow>('docker_registries_of', `
  SELECT ${COLUMNS} FROM docker_registries WHERE organization_id = $1 ORDER BY created_at, id`, [organizationId]);

export const registryById = (organizationId: string, id: string) => plan<RegistryRow>('docker_registries_by_id', `
  SELECT ${COLUMNS} FROM docker_registries WHERE organization_id = $1 AND id = $2`, [organizationId, id]);

/** The default one first, then the newest. */
export const registriesOfHost = (organizationId: string, host: string) => plan<RegistryRow>('docker_registries_of_host', `
  SELECT ${COLUMNS} FROM docker_registries WHERE organization_id = $1 AND host = $2 ORDER BY is_default DESC, created_at DESC, id`, [organizationId, host]);

/** @param change password null: as it is; project null: as it is */
export const updateRegistry = (organizationId: string, id: string, change: Pick<RegistryRow, 'name' | 'url' | 'host' | 'username'> & { password: Buffer | null; project: string | null }) =>
  plan<RegistryRow>('docker_registries_update', `
    UPDATE docker_registries SET name = $3, url = $4, host = $5, username = $6, password = coalesce($7, password), project = coalesce($8, project), updated_at = now()
    WHERE organization_id = $1 AND id = $2 RETURNING ${COLUMNS}`,
  [organizationId, id, change.name, change.url, change.host, change.username, change.password, change.project]);

export const deleteRegistry = (organizationId: string, id: string) => plan('docker_registries_delete', 'DELETE FROM docker_registries WHERE organization_id = $1 AND id = $2', [organizationId, id]);

/** One default for each organization and type. @returns the row of `id`, none when there is no such registry */
export const setDefaultRegistry = (id: string) => plan<RegistryRow>('docker_registries_set_default', `
  WITH chosen AS (SELECT id AS chosen_id, organization_id AS owner, registry_type AS kind FROM docker_registries WHERE id = $1),
  changed AS (
    UPDATE docker_registries SET is_default = (id = chosen_id), updated_at = now() FROM chosen
    WHERE organization_id = owner AND registry_type = kind AND (is_default OR id = chosen_id) RETURNING ${COLUMNS})
  SELECT * FROM changed WHERE id = $1`, [id]);
