import { styleText } from 'node:util';
import type { PaddockConfig } from '@paddock/contract';

type Level = PaddockConfig['logLevel'];
const LEVELS: Readonly<Record<Level, number>> = { debug: 20, info: 30, warn: 40, error: 50 };
const MARKS: Readonly<Record<number, string>> = { 20: 'debug', 40: styleText('yellow', 'warn'), 50: styleText('red', 'error'), 60: styleText('red', 'fatal') };

/** Where everything that `paddock up` says goes: readable lines with a progress line on a terminal, JSON lines elsewhere. */
export interface Output {
  /** A line of a part's log: JSON of pino, or plain text. */
  childLine(part: string, line: string): void;
  log(level: Level, message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** For the operator whatever the log level is; shown as it is on a terminal. */
  say(lines: readonly string[], fields: Readonly<Record<string, unknown>>): void;
  /** One line that is replaced by the next; null removes it. */
  progress(state: { readonly fraction: number; readonly text: string } | null): void;
}

export function createOutput(stream: NodeJS.WriteStream, level: Level): Output {
  return stream.isTTY ? terminalOutput(stream, LEVELS[level]) : jsonOutput(stream, LEVELS[level]);
}

/** PostgreSQL's own words for its levels; what it tells of a normal life is for debugging. */
function levelOfText(line: string): number {
  if (/^(FATAL|PANIC|ERROR):/.test(line)) return LEVELS.warn;
  return /^(LOG|DETAIL|HINT|CONTEXT|STATEMENT|NOTICE|DEBUG\d?):/.test(line) ? LEVELS.debug : LEVELS.info;
}

interface Entry {
  readonly level: number;
  readonly msg: string;
  readonly rest: Readonly<Record<string, unknown>>;
}

function parseEntry(line: string): Entry {
  if (line.startsWith('{')) {
    try {
      const { level, msg, time: _time, pid: _pid, hostname: _hostname, name: _name, part: _part, v: _v, ...rest } = JSON.parse(line) as Record<string, unknown>;
      if (typeof level === 'number') return { level, msg: String(msg ?? ''), rest };
    } catch {
      // not JSON after all: shown as text
    }
  }
  return { level: levelOfText(line), msg: line, rest: {} };
}

function jsonOutput(stream: NodeJS.WritableStream, threshold: number): Output {
  const write = (part: string, entry: Entry) => {
    if (entry.level >= threshold) emit(part, entry);
  };
  const emit = (part: string, entry: Entry) => {
    stream.write(`${JSON.stringify({ level: entry.level, time: Date.now(), part, msg: entry.msg, ...entry.rest })}\n`);
  };
  let lastTenth = -1;
  return {
    childLine: (part, line) => write(part, parseEntry(line)),
    log: (level, msg, rest = {}) => write('supervisor', { level: LEVELS[level], msg, rest }),
    say: (lines, rest) => emit('supervisor', { level: LEVELS.info, msg: lines.map((line) => line.trim()).filter(Boolean).join(' '), rest }),
    progress(state) {
      // A line for each tenth: a log is read later, not watched.
      const tenth = state === null ? -1 : Math.floor(state.fraction * 10);
      if (state !== null && tenth !== lastTenth) write('supervisor', { level: LEVELS.info, msg: state.text, rest: { percent: Math.round(state.fraction * 100) } });
      lastTenth = tenth;
    },
  };
}

function terminalOutput(stream: NodeJS.WriteStream, threshold: number): Output {
  let bar = '';
  const print = (text: string) => stream.write(`${bar && '\r\x1b[K'}${text}\n${bar}`);
  const write = (part: string, { level, msg, rest }: Entry) => {
    if (level < threshold) return;
    const time = new Date().toTimeString().slice(0, 8);
    print(`${styleText('gray', `${time} ${part.padEnd(10)}`)} ${MARKS[level] ? `${MARKS[level]} ` : ''}${msg}${styleText('gray', inline(rest))}`);
  };
  return {
    childLine: (part, line) => write(part, parseEntry(line)),
    log: (level, msg, rest = {}) => write('supervisor', { level: LEVELS[level], msg, rest }),
    say: (lines) => print(lines.join('\n')),
    progress(state) {
      const columns = stream.columns || 80;
      const line = state === null ? '' : progressLine(state, columns);
      if (line !== bar) stream.write(`\r\x1b[K${line}`);
      bar = line;
    },
  };
}

export function progressLine({ fraction, text }: { fraction: number; text: string }, columns: number): string {
  const width = 24;
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  const line = `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${String(Math.round(fraction * 100)).padStart(3)}% ${text}`;
  return line.slice(0, columns - 1);
}

function inline(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([key, value]) => {
      const error = key === 'err' && value !== null && typeof value === 'object' ? (value as { stack?: string; message?: string }) : null;
      return error ? `\n  ${(error.stack ?? error.message ?? '').split('\n').join('\n  ')}` : ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
    })
    .join('');
}
