/** What runs in a build sandbox, as root of its user namespace. All paths are inside. */

/** Input and result, on the sandbox's own disk: made anew for each build. */
export const WORK = '/paddock';
/** Layer cache of the organization: kept from build to build. */
export const CACHE = '/var/lib/containers';
export const BASES = `${WORK}/bases`;
export const RESULT = 'result';
export const CERTIFICATES = 'ca.pem';

/**
 * The network is the sandbox's. Short names are never looked up: every image that the Dockerfile needs is in the store of bases
 * or a stage of its own.
 */
export const STORAGE_CONF = `[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "${CACHE}/storage"
[storage.options]
additionalimagestores = ["${BASES}"]
`;

const STORAGE = `export CONTAINERS_STORAGE_CONF=${WORK}/storage.conf`;

/** Where `skopeo` and `buildah` find the result. */
const IMAGE = 'localhost/result:latest';

/**
 * The sandbox's limits hold for all that runs in it: steps get no control group of their own, which would need one that can be
 * written.
 *
 * @param names pairs of what the Dockerfile calls a base and what it is called inside
 * @param platform `os/architecture`
 * @param ownCertificates whether `ca.pem` is there for the steps
 */
export function buildScript(names: ReadonlyArray<readonly [reference: string, inside: string]>, platform: string, ownCertificates: boolean): string {
  const bases = names.map(([reference, inside]) => `--build-context ${quoted(`${reference}=docker://${inside}`)}`);
  const certificates = ownCertificates ? ` --volume ${WORK}/${CERTIFICATES}:/etc/ssl/certs/ca-certificates.crt:ro` : '';
  return `#!/bin/sh
set -eu
exec 2>&1 </dev/null
cd ${WORK}
${STORAGE}
# A build that was killed can leave a store that does not open, and containers that no one will use.
known=$(buildah containers --quiet 2>/dev/null) || rm -rf ${CACHE}/storage
[ -z "$known" ] || buildah rm --all >/dev/null
mkdir context ${RESULT}
for tar in contexts/*.tar; do
  [ -e "$tar" ] || continue
  tar --extract --file "$tar" --directory context --no-same-owner || { echo "Error: the build context is no tar archive"; exit 1; }
  rm "$tar"
done
status=0
buildah build --format docker --isolation oci --runtime-flag cgroup-manager=disabled --network host --layers --pull=never --force-rm --identity-label=false \\
  --platform ${platform}${certificates} ${bases.join(' ')} --tag ${IMAGE} --file Dockerfile context || status=$?
[ $status -eq 0 ] || exit $status
skopeo inspect --raw --config containers-storage:${IMAGE} >${RESULT}/config.json
`;
}

/**
 * Writes the layers of the result, uncompressed, as \`blobs/sha256/<hex>\`.
 * @param present hex digests that are not wanted: an empty file in a layout counts as a blob that is there
 */
export function exportScript(present: readonly string[]): string {
  const blobs = `${RESULT}/blobs/sha256`;
  return `#!/bin/sh
set -eu
exec 2>&1 </dev/null
cd ${WORK}
${STORAGE}
mkdir -p ${blobs}
${present.map((hex) => `: >${blobs}/${hex}`).join('\n')}
skopeo --insecure-policy copy --quiet --dest-oci-accept-uncompressed-layers containers-storage:${IMAGE} oci:${RESULT}:result
`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
