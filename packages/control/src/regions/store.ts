import type { RegionDto } from '@paddock/contract';
import { plan } from '../db/index.ts';

export interface RegionRow {
  id: string;
  name: string;
  organization_id: string | null;
  region_type: RegionDto['regionType'];
  proxy_url: string | null;
  ssh_gateway_url: string | null;
  snapshot_manager_url: string | null;
  otel_endpoint: string | null;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = 'id, name, organization_id, region_type, proxy_url, ssh_gateway_url, snapshot_manager_url, otel_endpoint, created_at, updated_at';

export const sharedRegions = () => plan<RegionRow>('regions_shared', `SELECT ${COLUMNS} FROM regions WHERE region_type = 'shared' ORDER BY name`);

/** wire: custom regions first, then dedicated, then shared. One that enforces quotas needs a quota, and none has one yet. */
export const visibleRegions = (organizationId: string) => plan<RegionRow>('regions_visible', `
  SELECT ${COLUMNS} FROM regions
  WHERE organization_id = $1 OR (organization_id IS NULL AND region_type = 'shared' AND NOT enforce_quotas)
  ORDER BY array_position(ARRAY['custom', 'dedicated', 'shared'], region_type), name`, [organizationId]);

/** wire: an organization's own by name, then a shared one by name, then by id. */
export const regionByReference = (organizationId: string, reference: string) => plan<RegionRow>('regions_by_reference', `
  SELECT ${COLUMNS} FROM regions
  WHERE (organization_id = $1 OR organization_id IS NULL) AND (name = $2 OR id = $2)
  ORDER BY (name = $2 AND organization_id IS NOT NULL) DESC, (name = $2) DESC LIMIT 1`, [organizationId, reference]);

export const ensureSharedRegion = (id: string) => plan('regions_ensure', `
  INSERT INTO regions (id, name, region_type) VALUES ($1, $1, 'shared') ON CONFLICT (id) DO NOTHING`, [id]);
