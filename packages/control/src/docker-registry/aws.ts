import { readFile } from 'node:fs/promises';
import { sign } from 'aws4';

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Origins that replace Amazon's own (its `AWS_ENDPOINT_URL_STS` and `AWS_ENDPOINT_URL_ECR`); null: Amazon's own. */
export interface AwsEndpoints {
  readonly sts: string | null;
  readonly ecr: string | null;
}

/** What Amazon did not like, in its words. */
export interface AwsProblem {
  readonly problem: string;
}

interface Role {
  readonly roleArn: string;
  readonly sessionName: string;
  readonly externalId?: string;
}

const TIMEOUT_MS = 15_000;
/** Answers are about 3 kB. */
const MAX_REPLY_BYTES = 256 * 1024;
/** The shortest Amazon allows: the credentials are used once, at once. */
const SESSION_SECONDS = '900';

/** STS `AssumeRole` (query protocol, version 2011-06-15). */
export async function assumeRole(endpoints: AwsEndpoints, region: string, credentials: AwsCredentials, role: Role): Promise<AwsCredentials | AwsProblem> {
  const form = new URLSearchParams({
    Action: 'AssumeRole', Version: '2011-06-15', RoleArn: role.roleArn, RoleSessionName: role.sessionName, DurationSeconds: SESSION_SECONDS,
    ...(role.externalId === undefined ? {} : { ExternalId: role.externalId }),
  });
  return credentialsOf(await call(stsOrigin(endpoints, region), { service: 'sts', region, body: form.toString(), headers: FORM }, credentials));
}

/** STS `AssumeRoleWithWebIdentity`: no signature, the token is the proof. */
export async function webIdentityCredentials(endpoints: AwsEndpoints, region: string, roleArn: string, tokenFile: string): Promise<AwsCredentials | AwsProblem> {
  const token = await readFile(tokenFile, 'utf8').catch((error: NodeJS.ErrnoException) => ({ problem: `its web identity token cannot be read (${error.code})` }));
  if (typeof token !== 'string') return token;
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleArn: roleArn, RoleSessionName: 'paddock', DurationSeconds: SESSION_SECONDS, WebIdentityToken: token.trim(),
  });
  return credentialsOf(await call(stsOrigin(endpoints, region), { service: 'sts', region, body: form.toString(), headers: FORM }, null));
}

/** ECR `GetAuthorizationToken` (JSON 1.1). The token is base64 of `AWS:<password>`. */
export async function authorizationToken(endpoints: AwsEndpoints, region: string, credentials: AwsCredentials): Promise<{ readonly username: string; readonly password: string; readonly expiresAtMs: number } | AwsProblem> {
  const headers = { 'content-type': 'application/x-amz-json-1.1', accept: 'application/json', 'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken' };
  const reply = await call(endpoints.ecr ?? `https://api.ecr.${region}.${domainOf(region)}`, { service: 'ecr', region, body: '{}', headers }, credentials);
  if ('problem' in reply) return reply;
  const [data] = (reply.json as { authorizationData?: { authorizationToken?: unknown; expiresAt?: unknown }[] }).authorizationData ?? [];
  const [username, ...password] = Buffer.from(String(data?.authorizationToken ?? ''), 'base64').toString('utf8').split(':');
  if (!username || password.length === 0) return { problem: 'its answer holds no token' };
  // Seconds since the epoch. An answer without it is believed for twenty minutes.
  const expiresAtMs = typeof data?.expiresAt === 'number' ? data.expiresAt * 1000 : Date.now() + 20 * 60_000;
  return { username, password: password.join(':'), expiresAtMs };
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', accept: 'application/json' };

function stsOrigin(endpoints: AwsEndpoints, region: string): string {
  return endpoints.sts ?? `https://sts.${region}.${domainOf(region)}`;
}

function domainOf(region: string): string {
  return region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
}

interface AwsCall {
  readonly service: string;
  readonly region: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function call(origin: string, { service, region, body, headers }: AwsCall, credentials: AwsCredentials | null): Promise<{ readonly json: unknown } | AwsProblem> {
  const { host } = new URL(origin);
  const signed = credentials === null ? headers : sign({ service, region, host, method: 'POST', path: '/', headers: { ...headers, host }, body }, credentials).headers;
  try {
    const reply = await fetch(new URL('/', origin), { method: 'POST', headers: signed as Record<string, string>, body, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await boundedText(reply);
    const json = parsed(text);
    if (!reply.ok || json === null) return { problem: messageOf(json) ?? `status ${reply.status}` };
    return { json };
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name;
    return { problem: `${host} does not answer (${cause})` };
  }
}

async function boundedText(reply: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of reply.body ?? []) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) return '';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

/** STS answers `{Error: {Message}}`, JSON services `{message}` or `{Message}`. */
function messageOf(json: unknown): string | null {
  const body = json as { Error?: { Message?: unknown; Code?: unknown }; message?: unknown; Message?: unknown } | null;
  const message = body?.Error?.Message ?? body?.message ?? body?.Message ?? body?.Error?.Code;
  return typeof message === 'string' && message !== '' ? message.slice(0, 500) : null;
}

function credentialsOf(reply: { readonly json: unknown } | AwsProblem): AwsCredentials | AwsProblem {
  if ('problem' in reply) return reply;
  const body = reply.json as Record<string, Record<string, Record<string, { AccessKeyId?: unknown; SecretAccessKey?: unknown; SessionToken?: unknown }>>>;
  const given = body['AssumeRoleResponse']?.['AssumeRoleResult']?.['Credentials'] ?? body['AssumeRoleWithWebIdentityResponse']?.['AssumeRoleWithWebIdentityResult']?.['Credentials'];
  if (typeof given?.AccessKeyId !== 'string' || typeof given.SecretAccessKey !== 'string' || typeof given.SessionToken !== 'string') return { problem: 'its answer holds no credentials' };
  return { accessKeyId: given.AccessKeyId, secretAccessKey: given.SecretAccessKey, sessionToken: given.SessionToken };
}
