import { Type, type Static } from 'typebox';
import { StringEnum, Timestamp } from './common.ts';

export const REGISTRY_TYPES = ['internal', 'organization', 'transient', 'backup'] as const;
export type RegistryType = (typeof REGISTRY_TYPES)[number];

/** A registry that an organization's images are pulled from. wire: the password is in no reply. */
export const DockerRegistry = Type.Object({
  id: Type.String(), name: Type.String(), url: Type.String(), username: Type.String(), project: Type.String(), registryType: StringEnum(REGISTRY_TYPES),
  createdAt: Timestamp, updatedAt: Timestamp,
}, { title: 'DockerRegistry' });
export type DockerRegistry = Static<typeof DockerRegistry>;

const name = Type.String({ minLength: 1, maxLength: 255 });
const url = Type.String({ minLength: 1, maxLength: 1024 });
const username = Type.String({ minLength: 1, maxLength: 1024 });
/** A Google service account key is JSON of 2–3 kB. */
const password = Type.String({ maxLength: 16_384 });
const project = Type.Optional(Type.String({ maxLength: 255 }));

export const CreateDockerRegistry = Type.Object({ name, url, username, password: Type.Optional(password), project }, { title: 'CreateDockerRegistry' });
export type CreateDockerRegistry = Static<typeof CreateDockerRegistry>;

/** wire: without a password the stored one stays. */
export const UpdateDockerRegistry = Type.Object({ name, url, username, password: Type.Optional(password), project }, { title: 'UpdateDockerRegistry' });
export type UpdateDockerRegistry = Static<typeof UpdateDockerRegistry>;

/** Ours, not of the protocol. */
export const TestDockerRegistry = Type.Object({ url, username, password: Type.Optional(password) }, { title: 'TestDockerRegistry' });
export type TestDockerRegistry = Static<typeof TestDockerRegistry>;
export const DockerRegistryConnection = Type.Object({
  success: Type.Boolean(),
  /** A sentence: what worked, or what to correct. */
  message: Type.String(),
}, { title: 'DockerRegistryConnection' });
export type DockerRegistryConnection = Static<typeof DockerRegistryConnection>;

/** Credentials for a push. `registryUrl` is `host[:port]`; images go below `<registryUrl>/<project>/`. */
export const RegistryPushAccess = Type.Object({
  username: Type.String(), secret: Type.String(), registryUrl: Type.String(), registryId: Type.String(), project: Type.String(), expiresAt: Timestamp,
}, { title: 'RegistryPushAccessDto' });
export type RegistryPushAccess = Static<typeof RegistryPushAccess>;
