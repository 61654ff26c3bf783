import type { RegionDto } from '@paddock/contract';
import type { Queryable } from '../db/index.ts';
import { regionByReference, sharedRegions, visibleRegions, type RegionRow } from './store.ts';

export class Regions {
  readonly #db: Queryable;
  constructor(db: Queryable) {
    this.#db = db;
  }

  async shared(): Promise<RegionDto[]> {
    return (await this.#db.query(sharedRegions())).map(toDto);
  }

  async visibleTo(organizationId: string): Promise<RegionDto[]> {
    return (await this.#db.query(visibleRegions(organizationId))).map(toDto);
  }

  /** @param reference id or name @returns null when the organization sees no such region */
  async resolve(organizationId: string, reference: string): Promise<RegionDto | null> {
    const row = await this.#db.one(regionByReference(organizationId, reference));
    return row && toDto(row);
  }
}

function toDto(row: RegionRow): RegionDto {
  return {
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
    regionType: row.region_type,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    proxyUrl: row.proxy_url,
    sshGatewayUrl: row.ssh_gateway_url,
    snapshotManagerUrl: row.snapshot_manager_url,
    otelEndpoint: row.otel_endpoint,
  };
}
