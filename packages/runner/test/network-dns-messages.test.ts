import { describe, expect, test } from 'vitest';
import { answers, failure, framed, idOf, isQuery, MessageReader, withId } from '../src/network/dns-message.ts';
import { askInTurn, parseResolvConf } from '../src/network/upstream.ts';

const NAME = Buffer.from('\x07example\x04test\0', 'latin1');
const TAIL = Buffer.from([0, 1, 0, 1]);
const query = Buffer.concat([Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), NAME, TAIL]);
const reply = (over: (copy: Buffer) => void = () => undefined): Buffer => {
  const copy = Buffer.from(query);
  copy[2] = 0x81;
  over(copy);
  return copy;
};

describe('what is a query', () => {
  test('a header with one whole question', () => expect(isQuery(query)).toBe(true));
  test.each([
    ['a reply', reply()],
    ['nothing', Buffer.alloc(0)],
    ['a header alone', query.subarray(0, 12)],
    ['a question cut short', query.subarray(0, -1)],
    ['a name that points somewhere', Buffer.concat([query.subarray(0, 12), Buffer.from([0xc0, 12]), TAIL])],
    ['two questions', Buffer.from(query).fill(2, 5, 6)],
  ])('not %s', (_, message) => expect(isQuery(message)).toBe(false));
});

describe('what answers it', () => {
  test('its id and question, in any spelling', () => {
    expect(answers(reply(), query)).toBe(true);
    expect(answers(reply((copy) => copy.write('EXAMPLE', 13)), query)).toBe(true);
  });
  test.each([
    ['another id', reply((copy) => copy.writeUInt16BE(1, 0))],
    ['another name', reply((copy) => copy.write('exampel', 13))],
    ['the query itself', query],
    ['a fragment', reply().subarray(0, 14)],
    ['nothing', Buffer.alloc(0)],
  ])('not %s', (_, message) => expect(answers(message, query)).toBe(false));
});

test('a failure keeps id and question and says SERVFAIL', () => {
  const message = failure(Buffer.concat([query, Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])]));
  expect(answers(message, query)).toBe(true);
  expect((message[3] ?? 0) & 15).toBe(2);
  expect(message).toHaveLength(query.length);
  expect(idOf(withId(message, 7))).toBe(7);
});

test('messages come out of a stream whole, however it is cut', () => {
  const stream = Buffer.concat([framed(query), framed(Buffer.from('x')), framed(query)]);
  for (let size = 1; size <= stream.length; size += 1) {
    const reader = new MessageReader();
    const found: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) found.push(...reader.push(stream.subarray(at, at + size)));
    expect(found).toEqual([query, Buffer.from('x'), query]);
  }
});

test('resolv.conf: servers in order, of both families, and nothing else', () => {
  expect(parseResolvConf('# nameserver 9.9.9.9\nsearch x\n nameserver 127.0.0.53\nnameserver fe80::1%eth0 # router\nnameserver nonsense\noptions ndots:1\n'))
    .toEqual(['127.0.0.53', 'fe80::1%eth0']);
});

describe('servers are asked in turn', () => {
  test('the next at once after a failure, and the first answer counts', async () => {
    const asked: string[] = [];
    const outcome = await askInTurn(['a', 'b', 'c'], query, (server) => {
      asked.push(server);
      return server === 'a' ? Promise.reject(new Error('refused')) : Promise.resolve(reply());
    });
    expect([outcome?.server, asked]).toEqual(['b', ['a', 'b']]);
  });

  test('the next one after a silence, without giving up on the first', async () => {
    const outcome = await askInTurn(['slow', 'dead'], query, (server) =>
      server === 'dead' ? Promise.reject(new Error('refused')) : new Promise((resolve) => setTimeout(() => resolve(reply()), 600)));
    expect(outcome?.server).toBe('slow');
  });

  test('null when all fail, and when there is none', async () => {
    expect(await askInTurn(['a', 'b'], query, () => Promise.reject(new Error('refused')))).toBeNull();
    expect(await askInTurn([], query, () => Promise.reject(new Error('refused')))).toBeNull();
  });
});
