import { createGateway, createSshGateway, type SshGateway } from '@paddock/gateway';
import type { ControlContext } from './context.ts';
import { domainsWith } from './domains.ts';
import { buildApp } from './http/index.ts';
import { serveObjects } from './object-storage/index.ts';
import { createSandboxPlane } from './sandbox-plane.ts';
import type { Handlers } from './server/front.ts';

/** A control plane that is ready to serve: database connected, schema and first records in place. */
export interface ControlPlane {
  readonly handlers: Handlers;
  readonly ssh: SshGateway;
  /** Cuts connections that never end by themselves; otherwise every stop would wait for them in vain. Clients come back. */
  hangUp(): void;
  /** After the last request ended. */
  stop(): Promise<void>;
}

/** Puts the domains, the event sockets and the gateway together. */
export async function assemble(context: ControlContext): Promise<ControlPlane> {
  const { config, layout } = context;
  const sandboxes = await createSandboxPlane(context);
  const gateway = createGateway(config, layout, sandboxes.gatewayBackend);
  const ssh = createSshGateway(layout, sandboxes.sshBackend, await context.settings.secret('ssh-host-key'));
  const app = await buildApp(context, domainsWith([sandboxes.domain]));
  const registry = await context.registry.open();
  const s3 = serveObjects(context);
  await sandboxes.start();
  registry.start();
  return {
    handlers: { gateway, events: sandboxes.sockets, data: [...(s3 ? [s3] : []), registry], api: (req, res) => app.routing(req, res) },
    ssh,
    hangUp() {
      sandboxes.sockets.disconnect();
      ssh.close();
    },
    async stop() {
      gateway.close();
      await registry.stop();
      s3?.close();
      await sandboxes.stop();
      await app.close();
    },
  };
}
