// The terminal page. Runs in the browser, bundled into page.html: xterm.js on a WebSocket, sized to the window, connected again when
// the connection breaks: the shell waits for a minute, so what it runs goes on.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5_000;

/** Close codes after which another attempt would be wrong: the shell has ended; another window has taken it over. */
const ENDED = 1000;
const TAKEN_OVER = 4409;

const terminal = new Terminal({ cursorBlink: true, fontFamily: 'ui-monospace, Menlo, Consolas, monospace', fontSize: 14, scrollback: 10_000, theme: { background: '#111111' } });
const fit = new FitAddon();
const status = document.getElementById('status');
let socket = null;
let retryMs = FIRST_RETRY_MS;
let over = false;

terminal.loadAddon(fit);
terminal.open(document.getElementById('terminal'));
fit.fit();
terminal.focus();
terminal.onData((data) => {
  if (over) {
    if (data === '\r') restart();
  } else if (socket?.readyState === WebSocket.OPEN) socket.send(data);
});
// Mouse reports that are no text; one code unit is one byte.
terminal.onBinary((data) => socket?.readyState === WebSocket.OPEN && socket.send(Uint8Array.from(data, (unit) => unit.charCodeAt(0))));
terminal.onResize(sendSize);
new ResizeObserver(() => fit.fit()).observe(document.getElementById('terminal'));
connect();

/** The shell of this tab: a reload finds it again. */
function sessionId() {
  const known = sessionStorage.getItem('session');
  if (known !== null) return known;
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  sessionStorage.setItem('session', id);
  return id;
}

function connect() {
  const url = new URL('ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  // A credential that came by query comes along: cookies may be refused in a frame.
  url.search = location.search;
  url.searchParams.set('session', sessionId());
  socket = new WebSocket(url);
  socket.addEventListener('open', () => {
    retryMs = FIRST_RETRY_MS;
    show('');
    // The server begins with what the screen has shown.
    terminal.reset();
    sendSize();
  });
  socket.addEventListener('message', ({ data }) => terminal.write(data));
  socket.addEventListener('close', ({ code }) => {
    if (code === ENDED) end('The shell has ended. Press Enter for a new one.');
    else if (code === TAKEN_OVER) end('This terminal is open in another window. Press Enter for a new one.');
    else {
      show('Connection lost, trying again…');
      setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
    }
  });
}

function sendSize() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ rows: terminal.rows, cols: terminal.cols }));
}

function end(text) {
  over = true;
  sessionStorage.removeItem('session');
  terminal.write(`\r\n\x1b[2m${text}\x1b[0m\r\n`);
}

function restart() {
  over = false;
  connect();
}

function show(text) {
  status.textContent = text;
  status.hidden = text === '';
}
