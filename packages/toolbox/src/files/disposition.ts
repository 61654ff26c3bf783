/**
 * Content-Disposition with a file name that may hold anything. The plain form carries it when it can be read back exactly; the
 * extended form (RFC 5987, which parsers prefer) is added for everything else: other alphabets, line ends, control characters.
 */
export function contentDisposition(type: string, filename: string): string {
  const plain = filename.replace(/[^\x20-\x7e]/g, '_').replace(/[\\"]/g, '\\$&');
  const extended = /^[\x20-\x7e]*$/.test(filename) && type !== 'attachment' ? '' : `; filename*=utf-8''${encode(filename)}`;
  return `${type}; filename="${plain}"${extended}`;
}

const encode = (text: string): string => encodeURIComponent(text.toWellFormed()).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
