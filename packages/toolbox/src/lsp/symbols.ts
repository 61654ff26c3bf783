/** Symbols as clients read them: flat, whatever the server sends. */

interface Range {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

interface FlatSymbol {
  readonly name: string;
  readonly kind: number;
  readonly location: { readonly uri: string; readonly range: Range };
}

interface Symbol extends Partial<FlatSymbol> {
  readonly range?: Range;
  readonly children?: readonly Symbol[];
}

const NOWHERE: Range = { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } };

/** @param uri of the document, for trees of symbols, which do not name it */
export function flatten(reply: unknown, uri: string): FlatSymbol[] {
  const flat: FlatSymbol[] = [];
  const visit = (symbols: readonly Symbol[]): void => {
    for (const { name, kind, location, range, children } of symbols) {
      if (typeof name !== 'string' || typeof kind !== 'number') continue;
      flat.push({ name, kind, location: { uri: location?.uri ?? uri, range: location?.range ?? range ?? NOWHERE } });
      if (Array.isArray(children)) visit(children);
    }
  };
  if (Array.isArray(reply)) visit(reply as Symbol[]);
  return flat;
}
