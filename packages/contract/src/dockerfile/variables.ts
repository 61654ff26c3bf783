/** What a reference to an image can be with room to spare; variables of variables could otherwise fill the memory. */
const MAX_CHARACTERS = 8_192;

export class TooLong extends Error {}

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}` as a FROM line does; what is not set becomes empty.
 * @throws TooLong
 */
export function expand(text: string, values: ReadonlyMap<string, string>): string {
  let length = text.length;
  const counted = (value: string): string => {
    length += value.length;
    if (length > MAX_CHARACTERS) throw new TooLong();
    return value;
  };
  counted('');
  return text.replace(/\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])([^{}]*))?\})/g, (_, plain: string | undefined, braced: string | undefined, operator: string | undefined, word = '') => {
    const value = values.get((plain ?? braced)!);
    const isSet = operator?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
    if (operator?.endsWith('-')) return counted(isSet ? value! : expand(word as string, values));
    if (operator?.endsWith('+')) return counted(isSet ? expand(word as string, values) : '');
    return counted(value ?? '');
  });
}
