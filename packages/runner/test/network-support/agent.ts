import { createInterface } from 'node:readline';
import { layoutOf } from '@paddock/contract';
import type { PaddockConfig } from '@paddock/contract';
import { createNetwork } from '../../src/network/index.ts';

/**
 * A runner that is nothing but its network: carries out one call of `Network` a line, so that a test can run it on a fake
 * host and kill it. Lines: `{id, call, args}`, answered by `{id, value}` or `{id, error}`.
 */
interface Call {
  readonly id: number;
  readonly call: 'open' | 'take' | 'apply' | 'release' | 'adopt' | 'close' | 'resolver';
  readonly args: readonly unknown[];
}

const settings = JSON.parse(process.argv[2] ?? '{}') as { dataDir: string; runRoot: string; network: PaddockConfig['network'] };
const log = (fields: object, message: string): void => console.error(message, JSON.stringify(fields));
const network = createNetwork({ layout: layoutOf(settings.dataDir, settings.runRoot), config: settings.network, log: { info: log, warn: log } });

async function carryOut({ call, args }: Call): Promise<unknown> {
  switch (call) {
    case 'resolver': return network.resolver;
    case 'adopt': return network.adopt(new Set(args[0] as number[]));
    case 'apply': return network.apply(args[0] as number, args[1] as Parameters<typeof network.apply>[1]);
    case 'release': return network.release(args[0] as number);
    case 'close': return network.close(args[0] as boolean);
    default: return network[call]();
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const request = JSON.parse(line) as Call;
  carryOut(request).then(
    (value) => console.log(JSON.stringify({ id: request.id, value })),
    (error: unknown) => console.log(JSON.stringify({ id: request.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })),
  );
});
lines.on('close', () => process.exit(0));
