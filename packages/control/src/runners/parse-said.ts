/** As JSON writes NUL and halves of characters (surrogates, of which it writes none that has its other half). */
const UNSTORABLE = /\\u(?:0000|d[89a-f])/i;

/**
 * Reads JSON that a runner said. Texts in it come from programs in sandboxes and builds and from strangers' images, and end in the
 * database, which can hold neither NUL nor half a character: they are replaced.
 */
export function parseSaid(text: string): unknown {
  if (!UNSTORABLE.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? value.replaceAll('\0', '\uFFFD').toWellFormed() : value));
}
