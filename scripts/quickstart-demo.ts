import { Daytona } from '@daytona/sdk';

/** What a user of the official SDK would write first; prints each step with the time it took. */
export async function demo(apiUrl: string, apiKey: string): Promise<void> {
  const daytona = new Daytona({ apiUrl, apiKey });
  const sandbox = await step('create a sandbox', () => daytona.create({ language: 'python' }), (made) => made.id);
  try {
    await step('run Python in it', () => sandbox.process.codeRun('import sys\nprint(f"{6 * 7} from Python {sys.version.split()[0]}")'), (run) => run.result.trim());
    await step('run a command in it', () => sandbox.process.executeCommand('echo "$(whoami) in $PWD"'), (run) => run.result.trim());
  } finally {
    await step('delete it', () => sandbox.delete(), () => 'gone');
  }
}

async function step<T>(what: string, act: () => Promise<T>, result: (value: T) => string): Promise<T> {
  const startedAt = performance.now();
  const value = await act();
  console.log(`  ${what.padEnd(20)} ${`${Math.round(performance.now() - startedAt)} ms`.padStart(8)}   ${result(value)}`);
  return value;
}
