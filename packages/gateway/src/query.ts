/** A raw query string taken apart without re-encoding what stays. */

/** Decoded value of the first pair with this name. */
export function queryValue(query: string, name: string): string | undefined {
  if (query === '') return undefined;
  for (const pair of query.split('&')) if (pairName(pair) === name) return form(pair.slice(pair.indexOf('=') < 0 ? pair.length : pair.indexOf('=') + 1));
  return undefined;
}

export function queryCount(query: string, name: string): number {
  return query === '' ? 0 : query.split('&').filter((pair) => pairName(pair) === name).length;
}

/** The query without the pairs of these names; every other byte and the order stay. */
export function withoutPairs(query: string, names: ReadonlySet<string>): string {
  if (query === '') return query;
  const pairs = query.split('&');
  const kept = pairs.filter((pair) => !names.has(pairName(pair)));
  return kept.length === pairs.length ? query : kept.join('&');
}

function pairName(pair: string): string {
  const equals = pair.indexOf('=');
  return form(equals < 0 ? pair : pair.slice(0, equals));
}

/** application/x-www-form-urlencoded text, decoded as browsers and servers do (malformed sequences become U+FFFD). */
function form(text: string): string {
  if (!/[%+]/.test(text)) return text;
  return new URLSearchParams(`v=${text}`).get('v') ?? '';
}
