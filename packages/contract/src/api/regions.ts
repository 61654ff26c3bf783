import { Type, type Static } from 'typebox';
import { Nullable, StringEnum, Timestamp } from './common.ts';

export const REGION_TYPES = ['shared', 'dedicated', 'custom'] as const;

export const RegionDto = Type.Object({
  id: Type.String(), name: Type.String(), organizationId: Nullable(Type.String()), regionType: StringEnum(REGION_TYPES), createdAt: Timestamp, updatedAt: Timestamp,
  proxyUrl: Nullable(Type.String()), sshGatewayUrl: Nullable(Type.String()), snapshotManagerUrl: Nullable(Type.String()), otelEndpoint: Nullable(Type.String()),
}, { title: 'Region' });
export type RegionDto = Static<typeof RegionDto>;
