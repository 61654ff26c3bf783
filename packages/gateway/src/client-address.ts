import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { ForwardedFrom } from './headers.ts';
import type { GatewayConfig } from './types.ts';

/**
 * Where a request came from, for X-Forwarded-*. What a client writes there counts for nothing; what a trusted proxy
 * writes is kept and continued.
 */
export function createClientAddress(config: GatewayConfig): (req: IncomingMessage) => ForwardedFrom {
  const trusted = new BlockList();
  for (const entry of config.trustedProxies) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    trusted.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  const trustsAny = config.trustedProxies.length > 0;

  return (req) => {
    const peer = (req.socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
    const host = req.headers.host ?? '';
    if (!trustsAny || !trusted.check(peer, isIP(peer) === 6 ? 'ipv6' : 'ipv4')) return { host, proto: config.previewProtocol, chain: peer };
    const before = req.headers['x-forwarded-for'];
    const proto = String(req.headers['x-forwarded-proto'] ?? '').toLowerCase();
    return {
      host,
      proto: proto === 'http' || proto === 'https' ? proto : config.previewProtocol,
      chain: before === undefined ? peer : `${String(before)}, ${peer}`,
    };
  };
}
