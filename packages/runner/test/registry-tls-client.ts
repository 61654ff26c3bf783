/** A program of its own, as authorities are read when a process starts: prints what a registry has, or why not. */
import { RegistryClient, type RegistryError } from '../src/registry-client/index.ts';

const client = new RegistryClient(process.argv[2]!, { host: new URL(`https://${process.argv[2]}`).host, username: 'ann', password: 'secret' }, { insecure: [], mirrors: JSON.parse(process.argv[3] ?? '{}') as Record<string, string[]> }, AbortSignal.timeout(20_000), { attempts: 1 });
client.inspect().then(({ digest }) => console.log(digest), (error: RegistryError) => console.log(`${error.failure}: ${error.message}`)).finally(() => process.exit());
