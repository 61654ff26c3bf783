import { Type, type Static } from 'typebox';

/** Temporary S3 credentials of one organization. wire: clients put `<organizationId>/<hash>/context.tar`, path style. */
export const StorageAccess = Type.Object({
  accessKey: Type.String(), secret: Type.String(), sessionToken: Type.String(), storageUrl: Type.String(), organizationId: Type.String(), bucket: Type.String(), region: Type.String(),
}, { title: 'StorageAccessDto' });
export type StorageAccess = Static<typeof StorageAccess>;
