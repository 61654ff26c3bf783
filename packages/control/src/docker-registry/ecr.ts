import type { PaddockConfig, RegistryAuth } from '@paddock/contract';
import { StatusError } from '../http/index.ts';
import { assumeRole, authorizationToken, type AwsCredentials, type AwsEndpoints, type AwsProblem, webIdentityCredentials } from './aws.ts';

/** Where the right to assume organizations' roles comes from. */
export interface EcrSettings {
  /** Assumed first when set; organizations name it in their role's trust policy. */
  readonly brokerRoleArn: string | null;
  /** Null: this server has no identity at Amazon, and a role as user name is refused with a sentence. */
  readonly identity:
    | { readonly kind: 'keys'; readonly credentials: AwsCredentials }
    /** A file with a token, as Kubernetes mounts it for a service account. */
    | { readonly kind: 'web-identity'; readonly roleArn: string; readonly tokenFile: string }
    | null;
  /** Null: Amazon's own. */
  readonly endpoints: AwsEndpoints;
}

const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/;
const ECR_HOST = /^\d{12}\.dkr\.ecr(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d{1,2})\.amazonaws\.com(?:\.cn)?$/;
/** A token that is about to end is of no use to a pull that starts now; Amazon's live for twelve hours. */
const MARGIN_MS = 15 * 60_000;
/** Beyond it the oldest go; each is about 3 kB. */
const CACHE_SIZE = 1000;

export function isRoleArn(username: string): boolean {
  return ROLE_ARN.test(username);
}

/** @returns null when the host is no registry of Amazon ECR */
export function ecrRegionOf(host: string): string | null {
  return ECR_HOST.exec(host)?.[1] ?? null;
}

export function ecrTokens({ brokerRoleArn, accessKeyId, secretAccessKey, sessionToken, roleArn, webIdentityTokenFile, stsEndpoint, ecrEndpoint }: PaddockConfig['amazon']): EcrTokens {
  const identity: EcrSettings['identity'] = accessKeyId !== null && secretAccessKey !== null
    ? { kind: 'keys', credentials: { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) } }
    : roleArn !== null && webIdentityTokenFile !== null ? { kind: 'web-identity', roleArn, tokenFile: webIdentityTokenFile } : null;
  return new EcrTokens({ brokerRoleArn, identity, endpoints: { sts: stsEndpoint, ecr: ecrEndpoint } });
}

export interface EcrRequest {
  readonly organizationId: string;
  readonly host: string;
  readonly roleArn: string;
}

/**
 * Tokens for Amazon ECR by assumed role. wire: the external id is the organization's id, so that a role opens only to the
 * organization that its trust policy names; the session is called `daytona-<organization>-pull`.
 */
export class EcrTokens {
  readonly #settings: EcrSettings;
  readonly #tokens = new Map<string, { readonly auth: Promise<RegistryAuth>; untilMs: number }>();

  constructor(settings: EcrSettings) {
    this.#settings = settings;
  }

  /** Throws StatusError(400) with what Amazon said. */
  authFor(request: EcrRequest): Promise<RegistryAuth> {
    const key = `${request.organizationId} ${request.host} ${request.roleArn}`;
    const known = this.#tokens.get(key);
    if (known && known.untilMs > Date.now()) return known.auth;
    const fetched = this.#fetch(request);
    // Whoever asks meanwhile waits for the same answer.
    const entry = { auth: fetched.then(({ auth }) => auth), untilMs: Infinity };
    this.#tokens.delete(key);
    this.#tokens.set(key, entry);
    if (this.#tokens.size > CACHE_SIZE) this.#tokens.delete(this.#tokens.keys().next().value!);
    fetched.then(({ expiresAtMs }) => { entry.untilMs = expiresAtMs - MARGIN_MS; }, () => {
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
    });
    return entry.auth;
  }

  async #fetch({ organizationId, host, roleArn }: EcrRequest): Promise<{ readonly auth: RegistryAuth; readonly expiresAtMs: number }> {
    const { brokerRoleArn, identity, endpoints } = this.#settings;
    const region = ecrRegionOf(host);
    if (region === null) throw new StatusError(400, `${host} is no registry of Amazon ECR; an IAM role opens only those`);
    if (identity === null) {
      throw new StatusError(400, 'This server has no identity at Amazon, so it cannot assume an IAM role: the operator sets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and ECR_BROKER_ROLE_ARN if roles trust a broker');
    }
    const own = identity.kind === 'keys' ? identity.credentials
      : settled(await webIdentityCredentials(endpoints, region, identity.roleArn, identity.tokenFile), 'this server\'s own role');
    const broker = brokerRoleArn === null ? own
      : settled(await assumeRole(endpoints, region, own, { roleArn: brokerRoleArn, sessionName: 'paddock-ecr-broker' }), 'this server\'s broker role');
    const assumed = settled(await assumeRole(endpoints, region, broker, { roleArn, sessionName: `daytona-${organizationId}-pull`, externalId: organizationId }), `role ${roleArn}`);
    const token = settled(await authorizationToken(endpoints, region, assumed), 'authorization token');
    return { auth: { host, username: token.username, password: token.password }, expiresAtMs: token.expiresAtMs };
  }
}

function settled<T>(answer: T | AwsProblem, what: string): T {
  if (typeof answer === 'object' && answer !== null && 'problem' in answer) throw new StatusError(400, `Credentials of Amazon ECR cannot be had (${what}): ${answer.problem}`);
  return answer as T;
}
