/** The transport layer of ssh2, which its own types leave out. Only what transport.ts uses; the version is pinned exactly. */
declare module 'ssh2/lib/protocol/Protocol.js' {
  export interface ProtocolConfig {
    server?: boolean;
    hostKeys?: Record<string, unknown>;
    ident?: string;
    offer?: unknown;
    onWrite(data: Buffer): void;
    onError(error: Error): void;
    onHandshakeComplete?(): void;
    messageHandlers?: Record<string, (self: Protocol, ...args: never[]) => void>;
  }
  export default class Protocol {
    constructor(config: ProtocolConfig);
    /** Every decrypted message passes through it; read anew at each key exchange. */
    _onPayload: (payload: Buffer) => unknown;
    readonly _packetRW: {
      readonly read: { read(payload: Buffer): Buffer };
      readonly write: { readonly allocStart: number; readonly allocStartKEX: number; alloc(length: number, force?: boolean): Buffer; finalize(packet: Buffer, force?: boolean): Buffer };
    };
    /** Defined while keys are being exchanged. */
    readonly _kexinit: unknown;
    start(): void;
    parse(chunk: Buffer, from: number, to: number): void;
    cleanup(): void;
    service(name: string): void;
    serviceAccept(name: string): void;
    authNone(user: string): void;
    authSuccess(): void;
  }
}

declare module 'ssh2/lib/protocol/utils.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';
  const utils: { sendPacket(protocol: Protocol, packet: Buffer, bypass?: boolean): boolean };
  export default utils;
}
