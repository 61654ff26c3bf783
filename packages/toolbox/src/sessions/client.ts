import type { IncomingMessage } from 'node:http';
import { VERSION_PROTOCOL } from '../http/upgrade.ts';

/**
 * Three generations of clients. Wire:
 * - `combined`: one text, no markers. Clients that tell no version, and those before 0.27.
 * - `marked`: one text with markers, which the client splits itself. 0.27 to 0.166.
 * - `split`: the marked text and, beside it, stdout and stderr. From 0.167 on, and whoever asks by `X-Daytona-Split-Output: true`.
 */
export type OutputForm = 'combined' | 'marked' | 'split';

const FIRST_MARKED = [0, 27] as const;
const FIRST_SPLIT = [0, 167] as const;
/** Wire: clients before 0.103 expect a session to begin in the home. */
const FIRST_IN_WORK_DIR = [0, 103] as const;

type Version = readonly [major: number, minor: number];

/** A version that is no number, and the 0.0.0 of development builds, count as newest. */
const NEWEST: Version = [Infinity, 0];

/** @returns null when the client tells none */
function versionOf(request: IncomingMessage): Version | null {
  const text = header(request, 'x-daytona-sdk-version') ?? protocolVersion(request);
  if (text === undefined || text === '') return null;
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  if (major === undefined || Number(major) + Number(minor) + Number(patch) === 0) return NEWEST;
  return [Number(major), Number(minor)];
}

function protocolVersion(request: IncomingMessage): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((token) => token.trim());
  return offered.find((token) => token.startsWith(VERSION_PROTOCOL))?.slice(VERSION_PROTOCOL.length);
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const before = (version: Version, other: Version): boolean => version[0] < other[0] || (version[0] === other[0] && version[1] < other[1]);

export const asksForSplit = (request: IncomingMessage): boolean => header(request, 'x-daytona-split-output')?.toLowerCase() === 'true';

export function outputForm(request: IncomingMessage): OutputForm {
  if (asksForSplit(request)) return 'split';
  const version = versionOf(request);
  if (version === null || before(version, FIRST_MARKED)) return 'combined';
  return before(version, FIRST_SPLIT) ? 'marked' : 'split';
}

export function startsAtHome(request: IncomingMessage): boolean {
  const version = versionOf(request);
  return version !== null && before(version, FIRST_IN_WORK_DIR);
}
