/** wire: at most ten IPv4 CIDRs, comma-separated, prefix required. */
const MAX_ENTRIES = 10;

/** @returns the CIDRs, or a sentence that says what is wrong; an empty text is an empty list */
export function parseCidrList(text: string): { readonly list: readonly string[] } | { readonly problem: string } {
  const list = text.split(',').map((entry) => entry.trim()).filter((entry) => entry !== '');
  if (list.length > MAX_ENTRIES) return { problem: `networkAllowList must hold at most ${MAX_ENTRIES} CIDR blocks` };
  const wrong = list.find((entry) => !isIpv4Cidr(entry));
  if (wrong !== undefined) return { problem: `networkAllowList: "${wrong.slice(0, 64)}" is not an IPv4 CIDR block such as 192.0.2.0/24` };
  return { list };
}

function isIpv4Cidr(text: string): boolean {
  const [address = '', prefix = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return false;
  const parts = address.split('.');
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}
