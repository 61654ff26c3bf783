import { badBody } from '../errors.ts';
import { type Body, optionalText, text } from '../http/fields.ts';

/**
 * Names a client gives, checked before git sees them: none can be taken for an option, and none for git's own shorthand
 * (`-`, `@{-1}`) where a plain name is meant.
 */

/** git's rules of reference names, all of which also hold for a branch. */
const FORBIDDEN_IN_REF = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(\/|$)|\.$|\/$|^[./-]|^@$|^HEAD$/;

function plain(value: string, what: string): string {
  if (FORBIDDEN_IN_REF.test(value)) throw badBody(`invalid ${what}: ${value.slice(0, 200)}`);
  return value;
}

export function branchName(body: Body, field: string): string {
  return plain(text(body, field), 'branch name');
}

export function optionalBranchName(body: Body, field: string): string | undefined {
  const value = optionalText(body, field);
  return value ? plain(value, 'branch name') : undefined;
}

/** Whatever names a commit: a branch, a tag, a hash, `HEAD~1`. */
export function optionalRevision(body: Body, field: string): string | undefined {
  const value = optionalText(body, field);
  if (value === undefined || value === '') return undefined;
  if (value.startsWith('-') || /[\x00-\x1f\x7f]/.test(value)) throw badBody(`invalid revision: ${value.slice(0, 200)}`);
  return value;
}

export function revision(body: Body, field: string): string {
  text(body, field);
  return optionalRevision(body, field)!;
}

export function remoteName(body: Body, field: string): string {
  return plain(text(body, field), 'remote name');
}

/** A configured remote, `origin` when none is named. */
export function optionalRemoteName(body: Body, field: string): string {
  return optionalText(body, field) ? remoteName(body, field) : 'origin';
}

/** `section.key` or `section.any subsection.key`. */
const CONFIG_KEY = /^[A-Za-z0-9-]+\.([^\n\0]*\.)?[A-Za-z][A-Za-z0-9-]*$/;

export function configKey(key: string): string {
  if (!CONFIG_KEY.test(key) || key.startsWith('-')) throw badBody(`invalid configuration key: ${key.slice(0, 200)}, a name such as user.email is expected`);
  return key;
}

/** Paths as git takes them. A leading colon would begin its pattern magic. */
export function pathspecs(files: readonly string[]): readonly string[] {
  for (const file of files) {
    if (file === '' || file.includes('\0')) throw badBody("field 'files' must hold non-empty paths");
  }
  return files.map((file) => (file.startsWith(':') ? `./${file}` : file));
}
