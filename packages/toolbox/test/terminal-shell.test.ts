import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { eventually, freePort, startToolbox } from './toolbox.ts';

interface Page {
  readonly socket: WebSocket;
  text(): string;
  sees(text: string): Promise<void>;
  closed: Promise<number>;
}

async function open(port: number, session: string): Promise<Page> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?session=${session}`);
  let text = '';
  socket.on('message', (data, isBinary) => (text += isBinary ? '<binary>' : data.toString()));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  onTestFinished(() => socket.terminate());
  await once(socket, 'open');
  return { socket, text: () => text, sees: (wanted) => eventually(() => text.includes(wanted), 5000), closed };
}

async function withTerminal(): Promise<number> {
  const port = await freePort();
  const toolbox = await startToolbox({ env: { PADDOCK_TERMINAL_PORT: String(port) } });
  await toolbox.get('/version');
  await eventually(async () => fetch(`http://127.0.0.1:${port}/`).then((reply) => reply.ok, () => false));
  return port;
}

const SESSION = '0123456789abcdef0123456789abcdef';

test('the page is whole in itself and loads nothing', async () => {
  const port = await withTerminal();
  const reply = await fetch(`http://127.0.0.1:${port}/?token=x`);
  const page = await reply.text();
  expect(reply.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(reply.headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(page).not.toMatch(/<(?:script|link|img)[^>]+(?:src|href)=/);
  expect(page).toContain('.xterm');
  expect(page.length).toBeGreaterThan(200_000);
  expect((await fetch(`http://127.0.0.1:${port}/other`)).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${port}/`, { method: 'POST' })).status).toBe(405);
});

test('text is input, {rows, cols} is a size, and the end of the shell closes with 1000', async () => {
  const page = await open(await withTerminal(), SESSION);
  page.socket.send(JSON.stringify({ rows: 33, cols: 111 }));
  page.socket.send('stty size; echo {"rows":1} h$((1+1))h ä€😀\r');
  await page.sees('33 111');
  await page.sees('{rows:1} h2h ä€😀');
  expect(page.text()).not.toContain('<binary>');
  page.socket.send('exit\r');
  expect(await page.closed).toBe(1000);
});

test('characters are never cut between frames', async () => {
  const page = await open(await withTerminal(), SESSION);
  page.socket.send('stty -opost -echo; for i in $(seq 20000); do printf "ä€😀"; done; echo e$((1+1))nd\r');
  await page.sees('e2nd');
  expect(page.text()).not.toContain('\ufffd');
  expect(page.text().split('ä€😀').length - 1).toBeGreaterThanOrEqual(20_000);
});

test('a page that comes back finds its shell and what it showed; another page with the same id takes it over', async () => {
  const port = await withTerminal();
  const first = await open(port, SESSION);
  first.socket.send('X=kept; echo sh$((1+1))own\r');
  await first.sees('sh2own');
  first.socket.terminate();
  const second = await open(port, SESSION);
  await second.sees('sh2own');
  second.socket.send('echo "<$X>"\r');
  await second.sees('<kept>');
  const third = await open(port, SESSION);
  expect(await second.closed).toBe(4409);
  await third.sees('<kept>');
  const stranger = await open(port, 'f'.repeat(32));
  stranger.socket.send('echo "<$X>"\r');
  await stranger.sees('<>');
});

