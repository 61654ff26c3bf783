import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { PaddockConfig } from '@paddock/contract';

/** Where a client found this server. */
export interface ClientOrigin {
  /** `https://paddock.example:8443` */
  readonly origin: string;
  /** `host[:port]` of it. */
  readonly host: string;
}

const HOST = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/**
 * Addresses that are handed out must work where the client is, which is where it found us: its Host header, or what a trusted
 * proxy says it was. The configured public URL stands in when that is no host at all.
 */
export function createClientOrigin({ trustedProxies, publicUrl }: Pick<PaddockConfig, 'trustedProxies' | 'publicUrl'>): (req: IncomingMessage) => ClientOrigin {
  const known = new URL(publicUrl);
  const trusted = blockListOf(trustedProxies);
  return (req) => {
    const proxied = trusted !== null && isTrusted(trusted, req.socket.remoteAddress ?? '');
    const forwarded = (name: string) => (proxied ? lastOf(req.headers[name]) : undefined);
    const given = forwarded('x-forwarded-host') ?? req.headers.host ?? '';
    if (!HOST.test(given)) return { origin: known.origin, host: known.host };
    const host = given.toLowerCase();
    const proto = forwarded('x-forwarded-proto')?.toLowerCase();
    // Without a word from a proxy: https only ever comes from one, and then under the public name.
    const scheme = proto === 'http' || proto === 'https' ? proto : host === known.host ? known.protocol.slice(0, -1) : 'http';
    // A port of 99999 or an address of 1.2.3.999 only shows here.
    const url = URL.canParse(`${scheme}://${host}`) ? new URL(`${scheme}://${host}`) : known;
    return { origin: url.origin, host: url.host };
  };
}

function blockListOf(cidrs: readonly string[]): BlockList | null {
  if (cidrs.length === 0) return null;
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  return list;
}

function isTrusted(list: BlockList, remote: string): boolean {
  const address = remote.replace(/^::ffff:(?=\d+\.)/i, '');
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** What the nearest proxy added. */
function lastOf(header: string | string[] | undefined): string | undefined {
  return header === undefined ? undefined : String(header).split(',').at(-1)!.trim();
}
