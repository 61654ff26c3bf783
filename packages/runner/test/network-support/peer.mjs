// A program for either side of a connection, run in the namespace under test.
//   listen <port> [address]  TCP and UDP: says hello with the peer's address, then echoes (`flood` sends 64 MiB); stays
//   tcp <host> <port>        connects; prints {"ok":true,"text":…} or {"ok":false,"code":…}
//   udp <host> <port> [src]  sends a datagram and waits for the echo
//   hold <host> <port>       connects and echoes lines of stdin through the connection; prints `closed <code>` when it ends
//   rate <host> <port>       receives a flood; prints {"ok":true,"megabytesPerSecond":…}
//   spray <host> <count>     a datagram to each of so many ports
//   dns <server> <name> <udp|tcp>
//   answer <address>         DNS server on port 53: every A question is answered by 203.0.113.7, `big.` asks for TCP over UDP
import { createSocket } from 'node:dgram';
import dns from 'node:dns';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const [what, host, port, extra] = process.argv.slice(2);
const WAIT_MS = 1500;
const say = (value) => console.log(JSON.stringify(value));
const bye = (value) => { say(value); process.exit(0); };

const roles = {
  listen() {
    createServer((socket) => {
      socket.on('error', () => {});
      socket.write(`hello ${socket.remoteAddress}\n`);
      socket.on('data', (chunk) => {
        if (chunk.toString() !== 'flood') return void socket.write(chunk);
        const block = Buffer.alloc(1 << 20);
        let left = 64;
        const next = () => { while (left-- > 0) if (!socket.write(block)) return void socket.once('drain', next); socket.end(); };
        next();
      });
    }).listen(Number(host), port ?? '0.0.0.0', () => say('ready'));
    const udp = createSocket('udp4');
    udp.on('message', (message, peer) => udp.send(`hello ${peer.address}`, peer.port, peer.address));
    udp.on('error', () => {});
    udp.bind(Number(host), port);
    process.stdin.on('end', () => process.exit(0)).resume();
  },
  tcp() {
    const socket = connect({ host, port: Number(port) });
    const timer = setTimeout(() => bye({ ok: false, code: 'ETIMEDOUT' }), WAIT_MS);
    socket.on('data', (data) => bye({ ok: true, text: data.toString().trim() }));
    socket.on('error', (error) => { clearTimeout(timer); bye({ ok: false, code: error.code }); });
    socket.on('close', () => bye({ ok: false, code: 'closed' }));
  },
  udp() {
    const socket = createSocket('udp4');
    setTimeout(() => bye({ ok: false, code: 'ETIMEDOUT' }), WAIT_MS);
    socket.on('message', (data) => bye({ ok: true, text: data.toString() }));
    socket.on('error', (error) => bye({ ok: false, code: error.code }));
    socket.bind(0, extra, () => socket.connect(Number(port), host, (error) => error ? bye({ ok: false, code: error.code }) : socket.send('x')));
  },
  hold() {
    const socket = connect({ host, port: Number(port) });
    socket.setEncoding('utf8').on('data', (data) => process.stdout.write(data));
    socket.on('error', (error) => { console.log(`closed ${error.code}`); process.exit(0); });
    socket.on('close', () => { console.log('closed'); process.exit(0); });
    createInterface({ input: process.stdin }).on('line', (line) => socket.write(`${line}\n`)).on('close', () => process.exit(0));
  },
  rate() {
    let bytes = 0;
    let started = 0;
    const socket = connect({ host, port: Number(port) }, () => { started = performance.now(); socket.write('flood'); });
    socket.on('data', (data) => { bytes += data.length; });
    socket.on('end', () => bye({ ok: true, megabytesPerSecond: Math.round(bytes / 1e3 / (performance.now() - started)) }));
    socket.on('error', (error) => bye({ ok: false, code: error.code }));
  },
  async spray() {
    const socket = createSocket('udp4');
    socket.on('error', () => {});
    for (let n = 1; n <= Number(port); n += 1) await new Promise((sent) => socket.send('x', n, host, sent));
    bye({ ok: true });
  },
  dns() {
    if (extra === 'tcp') return askByTcp();
    const resolver = new dns.Resolver({ timeout: WAIT_MS, tries: 1 });
    resolver.setServers([host]);
    resolver.resolve4(port, (error, addresses) => bye(error ? { ok: false, code: error.code } : { ok: true, text: addresses.join() }));
  },
  answer() {
    const udp = createSocket('udp4');
    udp.on('message', (query, peer) => {
      const big = query.includes('\x03big', 12, 'latin1');
      udp.send(reply(query, big ? 0x02 : 0), peer.port, peer.address);
    });
    udp.bind(53, host);
    createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => socket.write(framed(reply(data.subarray(2), 0))));
    }).listen(53, host, () => say('ready'));
    process.stdin.on('end', () => process.exit(0)).resume();
  },
};

function reply(query, flag) {
  const name = query.toString('latin1', 12);
  const end = 12 + name.indexOf('\0') + 5;
  const head = Buffer.from(query.subarray(0, end));
  head[2] = 0x81 | flag;
  head[3] = 0x80;
  head.writeUInt16BE(flag ? 0 : 1, 6);
  head.writeUInt32BE(0, 8);
  if (flag) return head;
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7])]);
}

function framed(message) {
  const out = Buffer.alloc(2 + message.length);
  out.writeUInt16BE(message.length);
  message.copy(out, 2);
  return out;
}

function askByTcp() {
  const labels = port.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  const query = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
  const socket = connect({ host, port: 53 }, () => socket.write(framed(query)));
  setTimeout(() => bye({ ok: false, code: 'ETIMEDOUT' }), WAIT_MS);
  socket.on('data', (data) => bye({ ok: data.readUInt16BE(2) === 0x1234, text: [...data.subarray(-4)].join('.') }));
  socket.on('error', (error) => bye({ ok: false, code: error.code }));
  socket.on('close', () => bye({ ok: false, code: 'closed' }));
}

roles[what]();
