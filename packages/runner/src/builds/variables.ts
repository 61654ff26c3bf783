/** Replaces `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}` as a FROM line does; what is not set becomes empty. */
export function expand(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])([^{}]*))?\})/g, (_, plain: string | undefined, braced: string | undefined, operator: string | undefined, word = '') => {
    const value = values.get((plain ?? braced)!);
    const isSet = operator?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
    if (operator?.endsWith('-')) return isSet ? value! : expand(word as string, values);
    if (operator?.endsWith('+')) return isSet ? expand(word as string, values) : '';
    return value ?? '';
  });
}
