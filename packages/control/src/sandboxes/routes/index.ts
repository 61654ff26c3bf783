import type { ApiServer } from '../../http/index.ts';
import { diskRoutes } from './disk-routes.ts';
import { lifecycleRoutes } from './lifecycle-routes.ts';
import type { SandboxServices } from './params.ts';
import { propertyRoutes } from './property-routes.ts';
import { readRoutes } from './read-routes.ts';
import { sshRoutes } from './ssh-routes.ts';

export type { SandboxServices } from './params.ts';

export function sandboxRoutes(api: ApiServer, services: SandboxServices): void {
  lifecycleRoutes(api, services);
  diskRoutes(api, services);
  readRoutes(api, services);
  propertyRoutes(api, services);
  sshRoutes(api, services);
}
