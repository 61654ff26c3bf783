/**
 * A TCP port as clients may write it: plain decimal digits without sign or leading zero. The integer returned here is the
 * only form in which a port travels further, so what was authorised and what is dialled cannot differ.
 */
export function parsePort(text: string): number | null {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return null;
  const port = Number(text);
  return port <= 65_535 ? port : null;
}
