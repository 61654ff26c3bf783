/** What the image `slim` is made of: Debian with what agents reach for first, small enough for a first start of minutes. */
import { createHash } from 'node:crypto';

export interface Recipe {
  readonly name: string;
  readonly suite: string;
  readonly packages: readonly string[];
  /** Shell run on the host after the packages are installed; `$1` is the new root. Only trusted package content is in it by then. */
  readonly customize: readonly string[];
  readonly env: readonly string[];
  readonly workDir: string | null;
}

const PACKAGES = [
  'bash', 'ca-certificates', 'curl', 'git', 'iproute2', 'less', 'openssh-client', 'procps', 'python-is-python3', 'python3', 'python3-pip', 'python3-venv',
  'ripgrep', 'sudo', 'tini', 'unzip', 'xz-utils',
];

/**
 * - uid 1000 is the sandbox user of the product's documentation; sudo asks for nothing because the user namespace is the boundary.
 * - Debian marks its Python as managed by apt; in a throw-away sandbox `pip install` should simply work.
 * - Byte code is compiled once here: a layer is read-only, so each sandbox would otherwise compile what it imports again.
 * - Recommends and documentation stay out for users' own `apt-get install` too.
 */
const CUSTOMIZE = [
  'chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash daytona',
  `echo 'daytona ALL=(ALL) NOPASSWD:ALL' > "$1/etc/sudoers.d/daytona" && chmod 0440 "$1/etc/sudoers.d/daytona"`,
  'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
  'chroot "$1" python3 -m compileall -q -j 0 /usr/lib/python3 /usr/lib/python3.* || true',
  `printf 'APT::Install-Recommends "false";\\nAPT::Install-Suggests "false";\\n' > "$1/etc/apt/apt.conf.d/90paddock"`,
  'rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old',
  'rm -f "$1/etc/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf" && : > "$1/etc/machine-id" && : > "$1/etc/hostname" && : > "$1/etc/resolv.conf"',
];

export function slim(suite: string): Recipe {
  return {
    name: 'slim',
    suite,
    packages: PACKAGES,
    customize: CUSTOMIZE,
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8', 'PIP_ROOT_USER_ACTION=ignore', 'PIP_DISABLE_PIP_VERSION_CHECK=1'],
    workDir: null,
  };
}

/** Names the recipe, not its result: packages of the same recipe get newer. 64 hex digits. */
export function recipeDigest(recipe: Recipe): string {
  return createHash('sha256').update(JSON.stringify(recipe)).digest('hex');
}
