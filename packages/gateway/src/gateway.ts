import type { Layout } from '@paddock/contract';
import type { Gateway, GatewayBackend, GatewayConfig } from './types.ts';

export declare function createGateway(config: GatewayConfig, layout: Layout, backend: GatewayBackend): Gateway;
