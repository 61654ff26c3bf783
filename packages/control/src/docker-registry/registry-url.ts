/** A registry's address as a user writes it, and what image references call it. */
export interface RegistryUrl {
  /** As it is kept and shown: without a slash at the end, `docker.io` for Docker Hub. */
  readonly url: string;
  /** `host[:port]`, lower case. */
  readonly host: string;
}

/** All of them are one registry with one set of credentials. */
const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.docker.io', 'registry.hub.docker.com', 'hub.docker.com', 'www.docker.io']);
export const DOCKER_HUB_HOST = 'docker.io';

/** @returns null when it is no address of a registry */
export function parseRegistryUrl(text: string): RegistryUrl | null {
  const trimmed = text.trim();
  const [, scheme = '', rest = ''] = /^(https?:\/\/)?([a-z0-9[][^\s\\]*)$/i.exec(trimmed) ?? [];
  if (rest === '' || rest.includes('://')) return null;
  const absolute = `${scheme === '' ? 'https://' : scheme.toLowerCase()}${rest}`;
  if (!URL.canParse(absolute)) return null;
  const parsed = new URL(absolute);
  if (parsed.username || parsed.password || parsed.search || parsed.hash || !isHost(parsed.hostname)) return null;
  // URL leaves out the scheme's own port; a reference that names it means the same registry.
  const host = normalizeHost(parsed.host);
  if (host === DOCKER_HUB_HOST) return { url: DOCKER_HUB_HOST, host };
  return { url: `${scheme.toLowerCase()}${parsed.host}${parsed.pathname.replace(/\/+$/, '')}`, host };
}

/** @param host `host[:port]` of a reference */
export function normalizeHost(host: string): string {
  const lower = host.toLowerCase().replace(/:443$/, '');
  return DOCKER_HUB.has(lower) ? DOCKER_HUB_HOST : lower;
}

/** As image references have it: loopback names are spoken to without TLS, and what says so. */
export function isPlainHttp({ url, host }: RegistryUrl): boolean {
  if (/^https?:/.test(url)) return url.startsWith('http:');
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}

function isHost(name: string): boolean {
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name) || /^\[[0-9a-f:.]+\]$/i.test(name);
}
