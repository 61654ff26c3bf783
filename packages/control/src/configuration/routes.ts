import { ConfigurationDto, type PaddockConfig } from '@paddock/contract';
import { publicKeyLine } from '@paddock/gateway';
import type { ControlContext } from '../context.ts';
import { sshCommand } from '../sandboxes/index.ts';
import { PADDOCK_VERSION, type ApiServer } from '../http/index.ts';

/** Minutes, thirty days: the longest a stopped sandbox waits before it is archived. */
const MAX_AUTO_ARCHIVE_INTERVAL = 43_200;

/**
 * wire: read by SDKs, dashboards and the preview proxy without a credential. `analyticsApiUrl` is left out so that clients ask this server for metrics.
 * @param sshPublicKey line of the key that the SSH gateway shows
 */
export function configuration(config: PaddockConfig, sshPublicKey: string): ConfigurationDto {
  return {
    version: PADDOCK_VERSION,
    oidc: { issuer: `${config.publicUrl}/oidc`, clientId: 'paddock', audience: 'paddock', provider: 'oidc' },
    linkedAccountsEnabled: false,
    announcements: {},
    proxyTemplateUrl: `${config.previewProtocol}://{{PORT}}-{{sandboxId}}.${config.previewDomain}`,
    proxyToolboxUrl: toolboxUrl(config),
    defaultSnapshot: config.defaultSnapshot,
    dashboardUrl: `${config.publicUrl}/dashboard`,
    maxAutoArchiveInterval: MAX_AUTO_ARCHIVE_INTERVAL,
    maintananceMode: false,
    environment: 'self-hosted',
    ...(config.sshPort > 0 ? { sshGatewayCommand: sshCommand(config, '{{TOKEN}}'), sshGatewayPublicKey: Buffer.from(sshPublicKey).toString('base64') } : {}),
  };
}

/** Clients append `/<sandbox id>/<toolbox path>`. */
export function toolboxUrl(config: Pick<PaddockConfig, 'publicUrl'>): string {
  return `${config.publicUrl}/toolbox`;
}

export async function configurationRoutes(api: ApiServer, { config, settings }: Pick<ControlContext, 'config' | 'settings'>): Promise<void> {
  const answer = configuration(config, publicKeyLine(await settings.secret('ssh-host-key')));
  api.get('/config', {
    config: { access: 'public' },
    schema: { tags: ['config'], operationId: 'ConfigController_getConfig', response: { 200: ConfigurationDto } },
  }, async () => answer);
}
