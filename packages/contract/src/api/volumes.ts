import { Type, type Static } from 'typebox';
import { Nullable, StringEnum, Timestamp } from './common.ts';

export const VOLUME_STATES = ['creating', 'ready', 'pending_create', 'pending_delete', 'deleting', 'deleted', 'error'] as const;
export type VolumeState = (typeof VOLUME_STATES)[number];

export const VolumeDto = Type.Object({
  id: Type.String(), name: Type.String(), organizationId: Type.String(), state: StringEnum(VOLUME_STATES), createdAt: Timestamp, updatedAt: Timestamp,
  lastUsedAt: Nullable(Timestamp), errorReason: Nullable(Type.String()),
}, { title: 'VolumeDto' });
export type VolumeDto = Static<typeof VolumeDto>;

/** Without a name the volume is called like its id. */
export const CreateVolume = Type.Object({ name: Type.Optional(Nullable(Type.String({ maxLength: 255 }))) }, { title: 'CreateVolume' });
export type CreateVolume = Static<typeof CreateVolume>;

export const ListVolumesQuery = Type.Object({ includeDeleted: Type.Boolean({ default: false }) });
