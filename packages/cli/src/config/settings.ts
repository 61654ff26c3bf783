import { VOLUME_DRIVERS, type PaddockConfig } from '@paddock/contract';
import {
  absolutePath, address, apiKey, cidr, counts, ip, ipv4Subnet16, list, matching, mirrors, oneOf, origin, postgresUrl, type Reader, registryHost, wholeNumber,
} from './values.ts';

/** One setting: everything the command line, the environment, the TOML file and the manual know about it. */
export interface Setting {
  /** Path in the TOML file; a dot is a table. */
  readonly toml: string;
  /** Null for secrets: an argument list is readable by every user of the machine. */
  readonly flag: string | null;
  readonly env: string;
  /** Value as one would write it; null: unset. `{port}` stands for the port. */
  readonly fallback: string | null;
  readonly help: string;
  /** Placeholder in the manual. */
  readonly shape: string;
  readonly read: Reader<unknown>;
}

type Leaf<T> = { [K in keyof T & string]: T[K] extends readonly unknown[] | null ? K : NonNullable<T[K]> extends readonly unknown[] | string | number ? K : K extends 'pool' | 'volumes' | 'image' | 'images' | 'builds' | 'network' | 'objectStore' | 'amazon' | 'registries' ? `${K}.${keyof NonNullable<T[K]> & string}` : K }[keyof T & string];

/** Field of PaddockConfig; a dot is a nested object. */
export type ConfigPath = Leaf<PaddockConfig>;

const name = matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name of letters, digits, dot, dash and underscore');

const roleArn = matching(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/, 'the ARN of an IAM role');
const awsText = matching(/^[\x21-\x7e]+$/, 'printable characters without blanks');

/** Every field of PaddockConfig has exactly one row (the type demands it). Order is the manual's. */
export const SETTINGS: Readonly<Record<ConfigPath, Setting>> = {
  dataDir: {
    toml: 'data_dir', flag: '--data-dir', env: 'PADDOCK_DATA_DIR', fallback: '/var/lib/paddock', shape: '<dir>', read: absolutePath,
    help: 'database, pool of sandbox disks, logs; also tells instances on one machine apart',
  },
  runRoot: {
    toml: 'run_dir', flag: '--run-dir', env: 'PADDOCK_RUN_DIR', fallback: '/run/paddock', shape: '<dir>',
    // A sandbox's socket is <run dir>/<8 hex>/sandboxes/<uuid>/toolbox.sock; the kernel takes 107 bytes.
    read: (text) => (Buffer.byteLength(text) > 36 ? { ok: false, expected: 'a path of at most 36 bytes (unix socket paths are short)' } : absolutePath(text)),
    help: 'parent of the run directory with sockets',
  },
  host: {
    toml: 'host', flag: '--host', env: 'PADDOCK_HOST', fallback: '127.0.0.1', shape: '<address>', read: address,
    help: 'address to listen on',
  },
  port: {
    toml: 'port', flag: '--port', env: 'PADDOCK_PORT', fallback: '3000', shape: '<port>', read: wholeNumber(1, 65_535),
    help: 'API, events, toolbox path and previews',
  },
  sshPort: {
    toml: 'ssh_port', flag: '--ssh-port', env: 'PADDOCK_SSH_PORT', fallback: '2222', shape: '<port>', read: wholeNumber(0, 65_535),
    help: 'SSH into sandboxes; 0 for none',
  },
  publicUrl: {
    toml: 'public_url', flag: '--public-url', env: 'PADDOCK_PUBLIC_URL', fallback: 'http://localhost:{port}', shape: '<origin>', read: origin,
    help: 'origin under which clients reach this server',
  },
  previewDomain: {
    toml: 'preview_domain', flag: '--preview-domain', env: 'PADDOCK_PREVIEW_DOMAIN', fallback: 'localhost:{port}', shape: '<domain>',
    read: matching(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?$/, 'a host name, with :port if it is not the default'),
    help: 'previews are {port}-{sandboxId}.<domain>',
  },
  previewProtocol: {
    toml: 'preview_protocol', flag: '--preview-protocol', env: 'PADDOCK_PREVIEW_PROTOCOL', fallback: null, shape: '<http|https>', read: oneOf('http', 'https'),
    help: 'scheme of preview URLs (default: that of the public URL)',
  },
  trustedProxies: {
    toml: 'trusted_proxies', flag: '--trusted-proxies', env: 'PADDOCK_TRUSTED_PROXIES', fallback: '', shape: '<cidr,…>', read: list(cidr),
    help: 'reverse proxies whose X-Forwarded-* headers count',
  },
  databaseUrl: {
    toml: 'database_url', flag: null, env: 'DATABASE_URL', fallback: null, shape: '<url>', read: postgresUrl,
    help: 'external PostgreSQL (default: the embedded one)',
  },
  adminApiKey: {
    toml: 'admin_api_key', flag: null, env: 'PADDOCK_ADMIN_API_KEY', fallback: null, shape: '<key>', read: apiKey,
    help: 'first API key (default: generated at first start and printed once)',
  },
  healthApiKey: {
    toml: 'health_api_key', flag: null, env: 'PADDOCK_HEALTH_API_KEY', fallback: null, shape: '<key>', read: apiKey,
    help: 'bearer of /api/health/ready (default: any admin key)',
  },
  serviceUser: {
    toml: 'service_user', flag: '--service-user', env: 'PADDOCK_SERVICE_USER', fallback: 'paddock', shape: '<user>',
    read: matching(/^[a-z_][a-z0-9_-]{0,31}$/, 'a user name'),
    help: 'system user of PostgreSQL and control plane; made when missing',
  },
  region: {
    toml: 'region', flag: '--region', env: 'PADDOCK_REGION', fallback: 'us', shape: '<name>', read: name,
    help: 'id and name of the region',
  },
  defaultSnapshot: {
    toml: 'default_snapshot', flag: '--default-snapshot', env: 'PADDOCK_DEFAULT_SNAPSHOT', fallback: 'daytona-small', shape: '<name>', read: name,
    help: 'snapshot of sandboxes that name none',
  },
  warmPool: {
    toml: 'warm_pool', flag: '--warm-pool', env: 'PADDOCK_WARM_POOL', fallback: 'daytona-small=3,daytona-medium=1,daytona-large=1',
    shape: '<name=count,…>', read: counts,
    help: 'sandboxes kept ready for each snapshot; 0 for none',
  },
  'pool.sizeGiB': {
    toml: 'pool.size_gib', flag: '--pool-size', env: 'PADDOCK_POOL_SIZE_GIB', fallback: '200', shape: '<GiB>', read: wholeNumber(4, 1_000_000),
    help: 'size of the sparse file that holds sandbox disks',
  },
  'pool.device': {
    toml: 'pool.device', flag: '--pool-device', env: 'PADDOCK_POOL_DEVICE', fallback: null, shape: '<device>', read: absolutePath,
    help: 'block device for sandbox disks (default: a sparse file)',
  },
  'volumes.driver': {
    toml: 'volumes.driver', flag: '--volumes-driver', env: 'PADDOCK_VOLUMES_DRIVER', fallback: 'local', shape: '<local|s3>', read: oneOf(...VOLUME_DRIVERS),
    help: 'where new volumes are kept: the pool of this machine, or the object store',
  },
  'volumes.sizeGiB': {
    toml: 'volumes.size_gib', flag: '--volume-size', env: 'PADDOCK_VOLUME_SIZE_GIB', fallback: '50', shape: '<GiB>', read: wholeNumber(1, 1_000_000),
    help: 'what each new local volume may hold',
  },
  'image.default': {
    toml: 'image.default', flag: '--default-image', env: 'PADDOCK_DEFAULT_IMAGE', fallback: 'slim', shape: '<name>', read: name,
    help: 'image of the default snapshots; one other than slim is made by `paddock images build <name>`',
  },
  'image.suite': {
    toml: 'image.suite', flag: '--image-suite', env: 'PADDOCK_IMAGE_SUITE', fallback: 'trixie', shape: '<suite>', read: name,
    help: 'Debian suite of the default image',
  },
  'image.mirror': {
    toml: 'image.mirror', flag: '--image-mirror', env: 'PADDOCK_IMAGE_MIRROR', fallback: null, shape: '<url>',
    read: matching(/^(https?|file|copy):\/\/\S+$/, 'a URL'),
    help: 'Debian mirror of the default image (default: that of the host, or mmdebstrap\'s)',
  },
  'images.publish': {
    toml: 'images.publish', flag: '--publish-images', env: 'PADDOCK_PUBLISH_IMAGES', fallback: 'auto', shape: '<auto|always|never>', read: oneOf('auto', 'always', 'never'),
    help: 'put snapshots of sandboxes and builds into this server\'s registry, so that they outlive the pool; auto: where the object store is an external S3',
  },
  'builds.cpus': {
    toml: 'builds.cpus', flag: '--build-cpus', env: 'PADDOCK_BUILD_CPUS', fallback: '2', shape: '<cores>', read: wholeNumber(1, 1_024),
    help: 'cores of one build from a Dockerfile',
  },
  'builds.memoryGiB': {
    toml: 'builds.memory_gib', flag: '--build-memory', env: 'PADDOCK_BUILD_MEMORY_GIB', fallback: '4', shape: '<GiB>', read: wholeNumber(1, 100_000),
    help: 'memory of one build',
  },
  'builds.diskGiB': {
    toml: 'builds.disk_gib', flag: '--build-disk', env: 'PADDOCK_BUILD_DISK_GIB', fallback: '20', shape: '<GiB>', read: wholeNumber(1, 1_000_000),
    help: 'disk of one organization\'s builds and their layer cache',
  },
  'builds.timeoutMinutes': {
    toml: 'builds.timeout_minutes', flag: '--build-timeout', env: 'PADDOCK_BUILD_TIMEOUT_MINUTES', fallback: '60', shape: '<minutes>', read: wholeNumber(1, 10_000),
    help: 'time one build may take',
  },
  'builds.atOnce': {
    toml: 'builds.at_once', flag: '--builds', env: 'PADDOCK_BUILDS', fallback: '2', shape: '<count>', read: wholeNumber(1, 1_000),
    help: 'builds at a time; of one organization there is one',
  },
  'registries.insecure': {
    toml: 'registries.insecure', flag: '--insecure-registries', env: 'PADDOCK_INSECURE_REGISTRIES', fallback: '', shape: '<host:port,…>', read: list(registryHost),
    help: 'registries spoken to over plain http, besides those on this machine',
  },
  'registries.mirrors': {
    toml: 'registries.mirrors', flag: '--registry-mirrors', env: 'PADDOCK_REGISTRY_MIRRORS', fallback: '', shape: '<host=url,…>', read: mirrors,
    help: 'where to look first for images of a registry, such as docker.io=https://mirror.example; several of one host are tried in turn',
  },
  'registries.imageLimitGiB': {
    toml: 'registries.image_limit_gib', flag: '--image-limit', env: 'PADDOCK_IMAGE_LIMIT_GIB', fallback: '50', shape: '<GiB>', read: wholeNumber(1, 1_000_000),
    help: 'largest image, unpacked, that is pulled',
  },
  'builds.caFile': {
    toml: 'builds.ca_file', flag: '--build-ca-file', env: 'PADDOCK_BUILD_CA_FILE', fallback: null, shape: '<file>', read: absolutePath,
    help: 'certificates (PEM) that steps of builds trust, where a proxy opens TLS (default: those of the image)',
  },
  'network.subnet': {
    toml: 'network.subnet', flag: '--network-subnet', env: 'PADDOCK_NETWORK_SUBNET', fallback: null, shape: '<cidr>', read: ipv4Subnet16,
    help: '/16 for sandbox links (default: the first free 10.x.0.0/16)',
  },
  'network.denied': {
    toml: 'network.denied', flag: '--network-denied', env: 'PADDOCK_NETWORK_DENIED', fallback: '169.254.0.0/16,224.0.0.0/4', shape: '<cidr,…>', read: list(cidr),
    help: 'what no sandbox reaches besides the host itself; replaces the default (cloud metadata and multicast)',
  },
  'network.dns': {
    toml: 'network.dns', flag: '--network-dns', env: 'PADDOCK_NETWORK_DNS', fallback: null, shape: '<ip,…>', read: list(ip),
    help: 'upstream resolvers (default: those of /etc/resolv.conf)',
  },
  'amazon.brokerRoleArn': {
    toml: 'amazon.broker_role_arn', flag: '--ecr-broker-role', env: 'ECR_BROKER_ROLE_ARN', fallback: null, shape: '<arn>', read: roleArn,
    help: 'IAM role that organizations\' roles for Amazon ECR trust',
  },
  'amazon.accessKeyId': {
    toml: 'amazon.access_key_id', flag: null, env: 'AWS_ACCESS_KEY_ID', fallback: null, shape: '<id>', read: awsText,
    help: 'this server\'s own identity at Amazon, for registries of Amazon ECR',
  },
  'amazon.secretAccessKey': {
    toml: 'amazon.secret_access_key', flag: null, env: 'AWS_SECRET_ACCESS_KEY', fallback: null, shape: '<key>', read: awsText, help: 'its secret',
  },
  'amazon.sessionToken': {
    toml: 'amazon.session_token', flag: null, env: 'AWS_SESSION_TOKEN', fallback: null, shape: '<token>', read: awsText, help: 'its session token, when the key is temporary',
  },
  'amazon.roleArn': {
    toml: 'amazon.role_arn', flag: '--aws-role', env: 'AWS_ROLE_ARN', fallback: null, shape: '<arn>', read: roleArn,
    help: 'role of a Kubernetes service account, in place of a key',
  },
  'amazon.webIdentityTokenFile': {
    toml: 'amazon.web_identity_token_file', flag: '--aws-web-identity-token-file', env: 'AWS_WEB_IDENTITY_TOKEN_FILE', fallback: null, shape: '<file>', read: absolutePath,
    help: 'file with that account\'s token',
  },
  'amazon.stsEndpoint': {
    toml: 'amazon.sts_endpoint', flag: '--aws-endpoint-sts', env: 'AWS_ENDPOINT_URL_STS', fallback: null, shape: '<origin>', read: origin, help: 'in place of Amazon\'s STS',
  },
  'amazon.ecrEndpoint': {
    toml: 'amazon.ecr_endpoint', flag: '--aws-endpoint-ecr', env: 'AWS_ENDPOINT_URL_ECR', fallback: null, shape: '<origin>', read: origin, help: 'in place of Amazon\'s ECR',
  },
  'objectStore.endpoint': {
    toml: 's3.endpoint', flag: '--s3-endpoint', env: 'S3_ENDPOINT', fallback: null, shape: '<origin>', read: origin,
    help: 'external S3 for build contexts, archives, volumes and images (default: the embedded store)',
  },
  'objectStore.stsEndpoint': {
    toml: 's3.sts_endpoint', flag: '--s3-sts-endpoint', env: 'S3_STS_ENDPOINT', fallback: null, shape: '<origin>', read: origin,
    help: 'STS of the external S3: without it clients cannot upload build contexts',
  },
  'objectStore.region': {
    toml: 's3.region', flag: '--s3-region', env: 'S3_REGION', fallback: 'us-east-1', shape: '<region>', read: name,
    help: 'region of the external S3',
  },
  'objectStore.accessKey': {
    toml: 's3.access_key', flag: null, env: 'S3_ACCESS_KEY', fallback: null, shape: '<key>', read: matching(/^[\x21-\x7e]+$/, 'a key'),
    help: 'access key of the external S3',
  },
  'objectStore.secretKey': {
    toml: 's3.secret_key', flag: null, env: 'S3_SECRET_KEY', fallback: null, shape: '<key>', read: matching(/^[\x21-\x7e]+$/, 'a key'),
    help: 'secret key of the external S3',
  },
  'objectStore.bucket': {
    toml: 's3.default_bucket', flag: '--s3-default-bucket', env: 'S3_DEFAULT_BUCKET', fallback: 'daytona-volume-builds', shape: '<bucket>',
    read: matching(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'a bucket name (3 to 63 lower-case letters, digits, dots and dashes)'),
    help: 'bucket, of the embedded store too; an external one must exist',
  },
  'objectStore.accountId': {
    toml: 's3.account_id', flag: '--s3-account-id', env: 'S3_ACCOUNT_ID', fallback: null, shape: '<id>', read: matching(/^[A-Za-z0-9]{1,64}$/, 'an account id'),
    help: 'account of the role',
  },
  'objectStore.roleName': {
    toml: 's3.role_name', flag: '--s3-role-name', env: 'S3_ROLE_NAME', fallback: null, shape: '<name>', read: matching(/^[A-Za-z0-9+=,.@_/-]{1,128}$/, 'a role name'),
    help: 'role that STS is asked to assume for clients',
  },
  logLevel: {
    toml: 'log_level', flag: '--log-level', env: 'PADDOCK_LOG_LEVEL', fallback: 'info', shape: '<level>', read: oneOf('debug', 'info', 'warn', 'error'),
    help: 'debug, info, warn or error',
  },
};

/** Settings whose value must not be shown. */
export const isSecret = (setting: Setting): boolean => setting.flag === null;
