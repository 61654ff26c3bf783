import type { Migration } from '../migrate.ts';
import { core } from './0001_core.ts';
import { sandboxes } from './0002_sandboxes.ts';
import { sshAccesses } from './0003_ssh_accesses.ts';
import { images } from './0004_images.ts';
import { dockerRegistries } from './0005_docker_registries.ts';
import { volumes } from './0006_volumes.ts';
import { archives } from './0007_archives.ts';
import { imagePublications } from './0008_image_publications.ts';

/** Every migration of the product; a domain that needs tables adds its file here. */
export const MIGRATIONS: readonly Migration[] = [core, sandboxes, sshAccesses, images, dockerRegistries, volumes, archives, imagePublications];
