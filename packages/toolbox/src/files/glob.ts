import { badRequest } from '../errors.ts';

/**
 * A glob against one name, with Go's rules: `*`, `?`, `[a-z]`, `[^a-z]`, `\x`; no `**` and no braces.
 * A malformed pattern is refused.
 */
export function glob(text: string): RegExp {
  const pattern = [...text];
  let source = '';
  let at = 0;
  const malformed = badRequest(`syntax error in pattern: ${text.slice(0, 200)}`);
  const literal = (): string => {
    let character = pattern[at++];
    if (character === '\\') character = pattern[at++];
    if (character === undefined) throw malformed;
    return character;
  };
  while (at < pattern.length) {
    const character = pattern[at]!;
    if (character === '*') {
      // Several stars in a row say no more than one, and as regular expression they would take exponential time.
      if (!source.endsWith('.*')) source += '.*';
      at++;
    } else if (character === '?') {
      source += '.';
      at++;
    } else if (character === '[') {
      at++;
      source += classOf();
    } else {
      source += escape(literal());
    }
  }
  return new RegExp(`^${source}$`, 'su');

  function classOf(): string {
    const negated = pattern[at] === '^';
    if (negated) at++;
    let ranges = '';
    while (pattern[at] !== ']' || ranges === '') {
      if (pattern[at] === undefined || pattern[at] === ']' || pattern[at] === '-') throw malformed;
      const low = literal();
      if (pattern[at] !== '-') {
        ranges += escape(low);
        continue;
      }
      at++;
      if (pattern[at] === undefined || pattern[at] === ']' || pattern[at] === '-') throw malformed;
      const high = literal();
      // An empty range matches nothing and is no mistake.
      if (low.codePointAt(0)! <= high.codePointAt(0)!) ranges += `${escape(low)}-${escape(high)}`;
      else if (ranges === '') ranges = '\\0';
    }
    at++;
    return `[${negated ? '^' : ''}${ranges}]`;
  }
}

/** Escapes by number: which characters may be escaped by a backslash depends on where they stand. */
const escape = (character: string): string => (/[!-/:-@[-`{-~]/.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character);
