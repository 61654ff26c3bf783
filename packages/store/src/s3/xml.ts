const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** Elements in order; arrays repeat their element; null and undefined leave it out. */
export type XmlContent = string | number | boolean | { readonly [name: string]: XmlContent | readonly XmlContent[] | null | undefined };

export function document(root: string, content: XmlContent, namespace = true): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${namespace ? ` xmlns="${NAMESPACE}"` : ''}>${inner(content)}</${root}>`;
}

function inner(content: XmlContent): string {
  if (typeof content !== 'object') return escape(String(content));
  return Object.entries(content).map(([name, value]) => element(name, value)).join('');
}

function element(name: string, value: XmlContent | readonly XmlContent[] | null | undefined): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return (value as readonly XmlContent[]).map((item) => element(name, item)).join('');
  return `<${name}>${inner(value as XmlContent)}</${name}>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** Control characters go out as references, as S3 sends them; clients ask for `encoding-type=url` to be safe from them. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char]!).replace(/[\x00-\x1f\x7f]/g, (char) => `&#x${char.charCodeAt(0).toString(16)};`);
}

/** An element of a parsed body: text, or children by name without namespace. */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

const MAX_DEPTH = 8;
/** 10,000 parts with their checksums have 60,000. */
const MAX_ELEMENTS = 100_000;
const TOKEN = /<\?[\s\S]*?\?>|<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy;

/**
 * Parses a small XML body: elements, text, CDATA, comments and the five entities. A DOCTYPE, and with it every entity of somebody's own, is
 * not XML to us. Linear in the length of the text. @throws XmlError
 */
export function parseXml(text: string): XmlElement {
  const root: Open = { name: '', children: [], text: '' };
  const open: Open[] = [root];
  let elements = 0;
  TOKEN.lastIndex = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text);
    if (!token) throw new XmlError();
    const [, cdata, closes, tag, , empty, plain] = token;
    const parent = open.at(-1)!;
    if (cdata !== undefined) parent.text += cdata;
    else if (plain !== undefined) parent.text += decode(plain);
    else if (tag !== undefined) {
      const name = tag.slice(tag.indexOf(':') + 1);
      if (closes) {
        if (open.length === 1 || parent.name !== name) throw new XmlError();
        open.pop();
      } else {
        const child: Open = { name, children: [], text: '' };
        parent.children.push(child);
        if (++elements > MAX_ELEMENTS || (!empty && open.push(child) > MAX_DEPTH)) throw new XmlError();
      }
    }
  }
  const [top, more] = root.children;
  if (open.length !== 1 || top === undefined || more !== undefined || root.text.trim() !== '') throw new XmlError();
  return top;
}

/** What is not in our part of XML. */
export class XmlError extends Error {
  constructor() {
    super('Not well-formed XML');
  }
}

interface Open {
  readonly name: string;
  readonly children: Open[];
  text: string;
}

/** @returns text of the child, null: there is none */
export function childText(element: XmlElement, name: string): string | null {
  return element.children.find((child) => child.name === name)?.text ?? null;
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decode(text: string): string {
  return text.replace(/&([^;&]{0,10});?/g, (whole, name: string) => {
    const [, hex, digits] = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name) ?? [];
    const code = hex !== undefined ? Number.parseInt(hex, 16) : digits !== undefined ? Number(digits) : null;
    const char = code === null ? NAMED[name] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
    if (char === undefined || !whole.endsWith(';')) throw new XmlError();
    return char;
  });
}
