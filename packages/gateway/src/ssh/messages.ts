/** The few SSH messages (RFC 4250–4254) that the gateway reads or writes itself; all others it only carries. */
const DISCONNECT = 1;
const GLOBAL_REQUEST = 80;
const CHANNEL_OPEN = 90;
const CHANNEL_OPEN_CONFIRMATION = 91;

/** Messages of the connection protocol: everything that happens after authentication. */
export const FIRST_CONNECTION_MESSAGE = 80;

/** RFC 4253 §11.1. */
export const REASON = { serviceNotAvailable: 7, connectionLost: 10, byApplication: 11, tooManyConnections: 12, noMoreAuthMethods: 14 } as const;

/** Bytes of channel data in one message. RFC 4253 §6.1 asks every implementation for this much, and the transport here takes hardly more. */
const CHANNEL_PACKET_BYTES = 32_768;

/** @param text one sentence for the user; clients print it */
export function disconnectMessage(reason: number, text: string): Buffer {
  const description = Buffer.from(text);
  const payload = Buffer.alloc(1 + 4 + 4 + description.length + 4);
  payload[0] = DISCONNECT;
  payload.writeUInt32BE(reason, 1);
  payload.writeUInt32BE(description.length, 5);
  description.copy(payload, 9);
  return payload;
}

/**
 * Keeps both ends from sending larger packets than the gateway takes: limits, in place, the size that the opener or the
 * acceptor of a channel announces.
 */
export function limitPacketSize(payload: Buffer): void {
  let at = -1;
  if (payload[0] === CHANNEL_OPEN_CONFIRMATION) at = 13;
  else if (payload[0] === CHANNEL_OPEN && payload.length >= 5) at = 1 + 4 + payload.readUInt32BE(1) + 8;
  if (at < 0 || at + 4 > payload.length) return;
  if (payload.readUInt32BE(at) > CHANNEL_PACKET_BYTES) payload.writeUInt32BE(CHANNEL_PACKET_BYTES, at);
}

/**
 * The sandbox's offer of its own host keys. Clients would take them for the gateway's, whose key is the one they know.
 */
export function announcesHostKeys(payload: Buffer): boolean {
  const name = 'hostkeys-00@openssh.com';
  return payload[0] === GLOBAL_REQUEST && payload.length >= 5 + name.length && payload.readUInt32BE(1) === name.length && payload.toString('latin1', 5, 5 + name.length) === name;
}
