import { Command, Option } from 'commander';
import { layoutOf, type PaddockConfig } from '@paddock/contract';
import { isSecret, resolveConfig, type Setting, SETTINGS } from './config/index.ts';
import { describeReport, examine } from './doctor/index.ts';
import { buildImage, listImages, removeImage, shippedNames } from './images/index.ts';
import { describeTrace, destroyInstance, stopInstance } from './instance/index.ts';
import { runningInstance } from './supervisor/state-file.ts';
import { up } from './supervisor/up.ts';

/** Set by the bundler. */
declare const PADDOCK_VERSION: string;

/** What a command is given: settings, and its own switches. */
interface Invocation {
  readonly config: PaddockConfig;
  readonly switches: Readonly<Record<string, unknown>>;
  /** Arguments that are no options. */
  readonly words: readonly string[];
}

const program = new Command('paddock')
  .description('The open, self-hosted home for AI-agent sandboxes.')
  .version(typeof PADDOCK_VERSION === 'string' ? PADDOCK_VERSION : 'development')
  .showHelpAfterError('(`paddock --help` is the manual)');

command('up', 'start the server in the foreground; Ctrl-C stops it, sandboxes keep running', 'every', ({ config }) => up(config));

command('down', 'stop the server of a data directory; sandboxes keep running', 'place', async ({ config }) => {
  console.log((await stopInstance(layoutOf(config.dataDir, config.runRoot))) ? 'stopped' : 'no server runs on this data directory');
  return 0;
});

command('status', 'say whether a server runs on a data directory', 'place', ({ config, switches }) => {
  const state = runningInstance(layoutOf(config.dataDir, config.runRoot));
  if (switches['json']) console.log(JSON.stringify(state ?? { phase: 'stopped', dataDir: config.dataDir }));
  else console.log(state ? `${state.phase}${state.progress ? `: ${state.progress.text}` : ''}  ${state.publicUrl}/api` : 'stopped');
  return state ? 0 : 1;
}).option('--json', 'print JSON');

command('doctor', 'check what this machine can do, and say what each missing part costs', 'every', async ({ config, switches }) => {
  const report = await examine(config);
  console.log(switches['json'] ? JSON.stringify(report, null, 2) : describeReport(report));
  return report.works ? 0 : 1;
}).option('--json', 'print JSON');

command('destroy', 'stop the server and remove its sandboxes, network and data for good', 'place', async ({ config, switches }) => {
  if (!switches['yes']) {
    console.error(`This deletes every sandbox and all data below ${config.dataDir}. Say --yes if you mean it.`);
    return 2;
  }
  const left = await destroyInstance(layoutOf(config.dataDir, config.runRoot), switches['keepData'] === true);
  for (const trace of left) console.error(`could not be removed: ${describeTrace(trace)}`);
  if (left.length === 0) console.log('nothing is left');
  return left.length === 0 ? 0 : 1;
})
  .option('--yes', 'do it')
  .option('--keep-data', 'keep the data directory');

const images = program.command('images').description('images that Paddock ships, on a running server (root)');

command('list', 'say which images there are', 'place', async ({ config }) => {
  for (const line of await listImages(layoutOf(config.dataDir, config.runRoot))) console.log(line);
  return 0;
}, images);

command('build', `make an image that Paddock ships and follow the build (${shippedNames().join(', ')})`, 'place', ({ config, switches, words: [name = ''] }) => {
  const as = typeof switches['as'] === 'string' ? switches['as'] : name;
  return buildImage(layoutOf(config.dataDir, config.runRoot), name, as, (text) => void process.stdout.write(text));
}, images)
  .argument('<name>', 'folder of images/')
  .option('--as <name>', 'call the result so (default: like the folder); for PADDOCK_DEFAULT_IMAGE and `FROM paddock/<name>`');

command('remove', 'remove an image; sandboxes made from it keep it', 'place', async ({ config, words: [name = ''] }) => {
  await removeImage(layoutOf(config.dataDir, config.runRoot), name);
  return 0;
}, images).argument('<name>');

await program.parseAsync();

/**
 * Adds a command. Its action gets settings that are valid and returns the exit status.
 * @param settings `every`: all of them; `place`: those that tell which instance is meant
 * @param parent of a command with two words
 */
function command(name: string, summary: string, settings: 'every' | 'place', action: (invocation: Invocation) => number | Promise<number>, parent: Command = program): Command {
  const rows = Object.values(SETTINGS).filter((setting) => settings === 'every' || [SETTINGS.dataDir, SETTINGS.runRoot].includes(setting));
  const built = parent.command(name).description(summary).option('--config <file>', 'TOML file with settings [PADDOCK_CONFIG] (default: /etc/paddock/paddock.toml if it exists)');
  for (const row of rows) if (row.flag !== null) built.addOption(new Option(`${row.flag} ${row.shape}`, describeSetting(row)));
  if (settings === 'every') built.addHelpText('after', `\nOnly in the environment or the file (arguments can be read by every user):\n${rows.filter(isSecret).map((row) => `  ${row.env}  ${row.help}. TOML: ${row.toml}`).join('\n')}\n\nA flag wins over the environment, the environment over the file.`);
  return built.action(async () => {
    const options = built.opts<Record<string, string | undefined>>();
    const flags = Object.fromEntries(rows.filter((row) => row.flag !== null).map((row) => [row.flag ?? '', options[optionKey(row.flag ?? '')]]));
    const resolved = resolveConfig({ flags, env: process.env, configFile: options['config'] ?? null });
    if (!resolved.ok) {
      for (const problem of resolved.problems) console.error(`paddock: ${problem}`);
      process.exitCode = 2;
      return;
    }
    try {
      process.exitCode = await action({ config: resolved.config, switches: options, words: built.args });
    } catch (error) {
      console.error(`paddock: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    }
  });
}

function describeSetting(row: Setting): string {
  return `${row.help} [${row.env}; TOML: ${row.toml}]${row.fallback ? ` (default: ${row.fallback.replace('{port}', '<port>')})` : ''}`;
}

/** commander's name of an option's value: `--data-dir` → `dataDir`. */
function optionKey(flag: string): string {
  return flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
