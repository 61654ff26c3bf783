import { Fields } from '../http/fields.ts';
import type { BuildRequest } from '../images/index.ts';

const LIMITS = {
  /** A Dockerfile is text that somebody wrote; the largest known ones have some tens of KiB. */
  dockerfile: 1_048_576,
  contexts: 1_000,
} as const;

/** Hashes are opaque, but they become part of an object's key: nothing that could name somebody else's. */
const HASH = /^[A-Za-z0-9_-]{1,128}$/;

/** wire: `buildInfo` of snapshots and sandboxes. */
export function parseBuildInfo(body: unknown): { readonly value: BuildRequest } | { readonly problems: readonly string[] } {
  const fields = new Fields(body);
  const dockerfile = fields.text('dockerfileContent', LIMITS.dockerfile);
  const contextHashes = fields.texts('contextHashes', LIMITS.contexts) ?? [];
  const problems = fields.problems.map((problem) => `buildInfo.${problem}`);
  if (problems.length === 0) {
    if (dockerfile === null || dockerfile.trim() === '') problems.push('buildInfo.dockerfileContent should not be empty');
    else if (!/^[ \t\uFEFF]*FROM[ \t]+\S/im.test(dockerfile)) problems.push('buildInfo.dockerfileContent must have a FROM instruction');
    if (!contextHashes.every((hash) => HASH.test(hash))) problems.push('buildInfo.contextHashes must hold hashes of uploaded contexts');
  }
  return problems.length > 0 || dockerfile === null ? { problems } : { value: { dockerfile, contextHashes } };
}
