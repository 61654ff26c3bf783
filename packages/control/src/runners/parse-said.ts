/**
 * Reads JSON that a runner said. Texts in it come from programs in sandboxes and builds, and end in the database, whose texts cannot
 * hold the character NUL: it is replaced.
 */
export function parseSaid(text: string): unknown {
  if (!text.includes('\\u0000')) return JSON.parse(text);
  return JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? value.replaceAll('\0', '\uFFFD') : value));
}
