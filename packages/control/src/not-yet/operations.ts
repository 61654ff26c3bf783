/**
 * Operations of the protocol that have no code yet: `METHOD path operationId [access]`, grouped by what is missing. Access is
 * a permission, `owner`, `admin` or `public`; none means any member. A domain that implements one just registers it; its line
 * here is then skipped, and deleted with the next change of this file.
 */
export const NOT_YET: Readonly<Record<string, string>> = {
  'Organization invitations': `
    GET /organizations/invitations listOrganizationInvitationsForAuthenticatedUser
    GET /organizations/invitations/count getOrganizationInvitationsCountForAuthenticatedUser
    POST /organizations/invitations/:invitationId/accept acceptOrganizationInvitation
    POST /organizations/invitations/:invitationId/decline declineOrganizationInvitation
    POST /organizations/:organizationId/invitations createOrganizationInvitation owner
    GET /organizations/:organizationId/invitations listOrganizationInvitations owner
    PUT /organizations/:organizationId/invitations/:invitationId updateOrganizationInvitation owner
    POST /organizations/:organizationId/invitations/:invitationId/cancel cancelOrganizationInvitation owner`,
  'Creating and deleting organizations': `
    POST /organizations createOrganization
    DELETE /organizations/:organizationId deleteOrganization owner
    POST /admin/organizations adminCreateOrganization admin`,
  'Changes of an organization\'s settings': `
    PATCH /organizations/:organizationId/default-region setOrganizationDefaultRegion owner
    POST /organizations/:organizationId/suspend suspendOrganization admin
    POST /organizations/:organizationId/unsuspend unsuspendOrganization admin
    POST /organizations/:organizationId/sandbox-default-limited-network-egress updateSandboxDefaultLimitedNetworkEgress admin
    POST /organizations/:organizationId/preview-warning updateOrganizationPreviewWarning owner
    POST /admin/organizations/:organizationId/preview-warning adminUpdateOrganizationPreviewWarning admin
    PUT /organizations/:organizationId/experimental-config updateExperimentalConfig owner`,
  'Quotas': `
    PATCH /organizations/:organizationId/quota updateOrganizationQuota admin
    PATCH /organizations/:organizationId/quota/:regionId updateOrganizationRegionQuota admin
    POST /admin/organizations/:organizationId/quota/:regionId adminCreateOrganizationRegionQuota admin
    PATCH /admin/organizations/:organizationId/quota/:regionId adminUpdateOrganizationRegionQuota admin
    GET /admin/organizations/:organizationId/quota/:regionId/:sandboxClass adminGetOrganizationRegionQuota admin
    DELETE /admin/organizations/:organizationId/quota/:regionId/:sandboxClass adminDeleteOrganizationRegionQuota admin
    GET /sandbox/:sandboxId/region-quota getRegionQuotaBySandboxId`,
  'OpenTelemetry settings': `
    GET /organizations/otel-config/by-sandbox-auth-token/:authToken getOrganizationOtelConfigBySandboxAuthToken
    GET /organizations/:organizationId/otel-config getOrganizationOtelConfig owner
    PUT /organizations/:organizationId/otel-config updateOrganizationOtelConfig owner
    DELETE /organizations/:organizationId/otel-config deleteOrganizationOtelConfig owner`,
  'Members and custom roles': `
    POST /organizations/:organizationId/leave leaveOrganization
    POST /organizations/:organizationId/roles createOrganizationRole owner
    PUT /organizations/:organizationId/roles/:roleId updateOrganizationRole owner
    DELETE /organizations/:organizationId/roles/:roleId deleteOrganizationRole owner
    POST /organizations/:organizationId/users/:userId/access updateAccessForOrganizationMember owner
    DELETE /organizations/:organizationId/users/:userId deleteOrganizationMember owner`,
  'Custom regions': `
    POST /regions createRegion write:regions
    PATCH /regions/:id updateRegion write:regions
    DELETE /regions/:id deleteRegion delete:regions
    POST /regions/:id/regenerate-proxy-api-key regenerateProxyApiKey write:regions
    POST /regions/:id/regenerate-ssh-gateway-api-key regenerateSshGatewayApiKey write:regions
    POST /regions/:id/regenerate-snapshot-manager-credentials regenerateSnapshotManagerCredentials write:regions`,
  'Identity providers and single sign-on': `
    POST /organizations/:organizationId/sso-enabled updateOrganizationSsoEnabled manage:sso
    POST /organizations/:organizationId/identity-providers createOrganizationIdentityProvider manage:sso
    GET /organizations/:organizationId/identity-providers listOrganizationIdentityProviders manage:sso
    GET /organizations/:organizationId/identity-providers/:id getOrganizationIdentityProvider manage:sso
    PATCH /organizations/:organizationId/identity-providers/:id updateOrganizationIdentityProvider manage:sso
    DELETE /organizations/:organizationId/identity-providers/:id deleteOrganizationIdentityProvider manage:sso
    POST /organizations/:organizationId/identity-providers/test-connection testOrganizationIdentityProviderConnection manage:sso
    GET /users/me/pending-sso-links listPendingSsoLinks
    POST /users/me/pending-sso-links/:id/confirm confirmPendingSsoLink
    DELETE /users/me/pending-sso-links/:id dismissPendingSsoLink`,
  'Linked accounts': `
    GET /users/account-providers getAvailableAccountProviders
    POST /users/linked-accounts linkAccount
    DELETE /users/linked-accounts/:provider/:providerUserId unlinkAccount
    POST /users/mfa/sms/enroll enrollInSmsMfa`,
  'Pausing and forking sandboxes': `
    POST /sandbox/:sandboxIdOrName/pause pauseSandbox write:sandboxes
    POST /sandbox/:sandboxIdOrName/autopause/:interval setAutoPauseInterval write:sandboxes
    POST /sandbox/:sandboxIdOrName/fork forkSandbox write:sandboxes`,
  'Secrets': `
    POST /secret createSecret manage:secrets
    GET /secret listSecrets manage:secrets
    GET /secret/paginated listSecretsPaginated manage:secrets
    GET /secret/:secretId getSecret manage:secrets
    PATCH /secret/:secretId updateSecret manage:secrets
    DELETE /secret/:secretId deleteSecret manage:secrets
    PUT /sandbox/:sandboxIdOrName/secrets updateSandboxSecrets write:sandboxes
    GET /sandbox/:sandboxId/secrets resolveSandboxSecrets`,
  'Warm pools of one\'s own': `
    GET /warm-pools listWarmPools
    POST /warm-pools createWarmPool write:sandboxes
    PATCH /warm-pools/:id updateWarmPool write:sandboxes
    DELETE /warm-pools/:id deleteWarmPool delete:sandboxes`,
  'Runners on other machines': `
    POST /runners createRunner write:runners
    GET /runners listRunners read:runners
    GET /runners/me getInfoForAuthenticatedRunner
    GET /runners/me/snapshots getSnapshotRefsForAuthenticatedRunner
    GET /runners/by-sandbox/:sandboxId getRunnerBySandboxId
    GET /runners/by-snapshot-ref getRunnersBySnapshotRef
    GET /runners/:id getRunnerById read:runners
    DELETE /runners/:id deleteRunner delete:runners
    GET /runners/:id/full getRunnerFullById
    PATCH /runners/:id/scheduling updateRunnerScheduling write:runners
    PATCH /runners/:id/draining updateRunnerDraining write:runners
    POST /runners/healthcheck runnerHealthcheck
    GET /sandbox/for-runner getSandboxesForRunner
    PUT /sandbox/:sandboxId/state updateSandboxState
    GET /jobs listJobs
    GET /jobs/poll pollJobs
    GET /jobs/:jobId getJob
    POST /jobs/:jobId/status updateJobStatus
    POST /admin/runners adminCreateRunner admin
    GET /admin/runners adminListRunners admin
    GET /admin/runners/:id adminGetRunnerById admin
    DELETE /admin/runners/:id adminDeleteRunner admin
    PATCH /admin/runners/:id/scheduling adminUpdateRunnerScheduling admin`,
  'Preview proxies of their own': `
    GET /preview/:sandboxId/public isSandboxPublic
    GET /preview/:sandboxId/preview-warning isPreviewWarningEnabled
    GET /preview/:sandboxId/validate/:authToken isValidAuthToken
    GET /preview/:sandboxId/signing-key getSigningKey
    GET /preview/:signedPreviewToken/:port/sandbox-id getSandboxIdFromSignedPreviewUrlToken
    GET /sandbox/:sandboxId/organization getOrganizationBySandboxId`,
  'Administration of users': `
    POST /admin/users adminCreateUser admin
    GET /admin/users adminListUsers admin
    POST /admin/users/:id/regenerate-key-pair adminRegenerateKeyPair admin
    GET /admin/users/:id adminGetUser admin`,
  'Webhooks': `
    POST /webhooks/organizations/:organizationId/app-portal-access WebhookController_getAppPortalAccess
    GET /webhooks/organizations/:organizationId/initialization-status WebhookController_getInitializationStatus
    POST /webhooks/organizations/:organizationId/initialize WebhookController_initializeWebhooks
    POST /webhooks/organizations/:organizationId/refresh-endpoints WebhookController_refreshEndpoints
    POST /admin/webhooks/organizations/:organizationId/send adminSendWebhook admin
    GET /admin/webhooks/organizations/:organizationId/messages/:messageId/attempts adminGetMessageAttempts admin
    GET /admin/webhooks/status adminGetWebhookStatus admin
    POST /admin/webhooks/organizations/:organizationId/initialize adminInitializeWebhooks admin`,
  'Audit logs': `
    GET /audit/organizations/:organizationId getOrganizationAuditLogs read:audit_logs
    GET /audit/scenarios getAuditScenarios public
    GET /admin/audit adminGetAllAuditLogs admin`,
};
