import { workDir } from '../environment/places.ts';
import { badBody } from '../errors.ts';
import { type Exchange, onGone, readJson, sendJson } from '../http/exchange.ts';
import { type Body, optionalTexts, text } from '../http/fields.ts';
import type { Env } from '../environment/environment.ts';
import { Artifacts } from './artifacts.ts';
import { sendResult, unfinished } from './reply.ts';
import { commandEnv, timeoutOf } from './request.ts';
import { run, shellExitCode } from './run.ts';

/** How a source text becomes a program with its source on stdin. */
interface Program {
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin: string;
}

type Language = (code: string, argv: readonly string[], env: Env) => Program | Promise<Program>;

/** Wire: these names and no others. */
const LANGUAGES: Readonly<Record<string, Language>> = {
  python: async (code, argv) => {
    const charts = await import('./charts.ts');
    return { file: 'python3', args: ['-u', '-', ...argv], stdin: charts.drawsCharts(code) ? charts.withCharts(code) : code };
  },
  javascript: async (code, argv, env) => (await import('./node.ts')).javascript(code, argv, env),
  typescript: async (code, argv) => (await import('./node.ts')).typescript(code, argv),
};

/** `POST /process/code-run`: runs a source text in the work dir. Arguments reach the program as they are, blanks included. */
export async function handle(exchange: Exchange): Promise<void> {
  const body = await readJson(exchange);
  const code = text(body, 'code');
  const language = languageOf(body);
  const argv = optionalTexts(body, 'argv') ?? [];
  if (argv.some((item) => item.includes('\0'))) throw badBody("field 'argv' contains a NUL character");
  const timeoutMs = timeoutOf(body);
  const env = commandEnv(body);
  const program = await language(code, argv, env);
  const artifacts = new Artifacts();
  const outcome = await run({ ...program, cwd: workDir, env, timeoutMs }, (listener) => onGone(exchange, listener), artifacts.filter);
  if (outcome.kind === 'ended') {
    const found = artifacts.charts.length > 0 ? { artifacts: { charts: artifacts.charts } } : {};
    return await sendResult(exchange, shellExitCode(outcome.exitCode, outcome.signal), outcome.output, found);
  }
  if (outcome.kind !== 'not-started') throw await unfinished(outcome, timeoutMs);
  // 127 is what a shell answers when it finds no such program.
  if (outcome.missing) return sendJson(exchange, 200, { exitCode: 127, result: `${program.file}: command not found\n` });
  sendJson(exchange, 200, { exitCode: -1, result: outcome.reason });
}

function languageOf(body: Body): Language {
  const name = text(body, 'language');
  const language = Object.hasOwn(LANGUAGES, name) ? LANGUAGES[name] : undefined;
  if (!language) throw badBody(`unsupported language: ${name.slice(0, 100)}, use python, javascript or typescript`);
  return language;
}
