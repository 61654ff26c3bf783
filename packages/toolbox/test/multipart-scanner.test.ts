import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boundaryOf, MultipartScanner } from '../src/files/multipart.ts';
import { multipart } from './toolbox.ts';

/** Content made of what boundaries are made of, so that near misses are common. */
const content = fc.array(fc.constantFrom('\r', '\n', '-', '\r\n', '\r\n--', '\r\n--B', '--Bx', 'a', '\0', 'Bo'), { maxLength: 40 }).map((pieces) => pieces.join('').replaceAll('\r\n--Bo', '\r\n--B_'));

function scan(body: Buffer, boundary: string, cuts: readonly number[]): [string, string][] {
  const scanner = new MultipartScanner(boundary);
  const found: [string, string][] = [];
  let from = 0;
  for (const cut of [...cuts.map((at) => at % (body.length + 1)).sort((a, b) => a - b), body.length]) {
    for (const event of scanner.feed(Buffer.from(body.subarray(from, cut)))) {
      if (event.type === 'part') found.push([event.name, '']);
      if (event.type === 'data') found.at(-1)![1] += event.data.toString('latin1');
    }
    from = cut;
  }
  expect(scanner.done).toBe(true);
  return found;
}

test('finds the same parts however the body is cut', () => {
  fc.assert(fc.property(fc.array(content, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 30 }), (contents, cuts) => {
    const { body } = multipart(contents.map((text, at) => [`p${at}`, null, Buffer.from(text, 'latin1')]), 'Bo');
    expect(scan(body, 'Bo', cuts)).toEqual(contents.map((text, at) => [`p${at}`, text]));
  }), { numRuns: 2000 });
});

test('finds them byte by byte', () => {
  const { body } = multipart([['a', null, '\r\n--Bo'.slice(0, -1)], ['b', 'f', '']], 'Bo');
  expect(scan(body, 'Bo', Array.from({ length: body.length }, (_, at) => at))).toEqual([['a', '\r\n--B'], ['b', '']]);
});

test('boundaries of content types', () => {
  expect(boundaryOf('multipart/form-data; boundary=abc')).toBe('abc');
  expect(boundaryOf('Multipart/Form-Data; charset=x; Boundary="a b;c"')).toBe('a b;c');
  expect(boundaryOf('application/json')).toBeNull();
  expect(boundaryOf(undefined)).toBeNull();
  expect(() => boundaryOf('multipart/form-data')).toThrow('boundary');
});
