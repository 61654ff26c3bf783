import { expect, test } from 'vitest';
import { connect } from './websocket.ts';
import { eventually, startToolbox } from './toolbox.ts';

const EXIT_CONTROL = 'X-Daytona-Pty-Exit-Control';
const envsToken = (envs: object): string => `X-Daytona-Pty-Envs~${Buffer.from(JSON.stringify(envs)).toString('base64url')}`;

test('create-connect: connected first, then a prompt, input, environment, and the exit code in frame and close', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=one&cols=100&rows=30', [envsToken({ GREETING: 'hällo' }), EXIT_CONTROL]);
  expect(peer.socket.protocol).toBe(EXIT_CONTROL);
  await peer.sees(/[#$] $|[#$] \x1b/);
  expect(peer.texts[0]).toEqual({ type: 'control', status: 'connected' });
  peer.socket.send('echo "$GREETING $TERM $PWD"; stty size; tty\r');
  await peer.sees(`hällo xterm-256color ${toolbox.dir}`);
  await peer.sees('30 100');
  await peer.sees('/dev/pts/');
  expect((await toolbox.get('/process/pty')).json.sessions).toEqual([
    { id: 'one', cwd: toolbox.dir, envs: { GREETING: 'hällo' }, cols: 100, rows: 30, createdAt: expect.any(String), active: true, lazyStart: false },
  ]);
  peer.socket.send(Buffer.from('exit 3\r'));
  expect(await peer.closed()).toEqual({ code: 1011, reason: '{"exitCode":3,"exitReason":"non-zero exit"}' });
  expect(peer.texts).toEqual([{ type: 'control', status: 'connected' }, { type: 'control', status: 'exited', exitCode: 3, exitReason: 'non-zero exit' }]);
  expect((await toolbox.get('/process/pty')).json).toEqual({ sessions: [] });
});

test('exit 0 closes with 1000; the exited frame goes only to whom asked for it', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=one');
  expect(peer.socket.protocol).toBe('');
  peer.socket.send('exit\r');
  expect(await peer.closed()).toEqual({ code: 1000, reason: '{"exitCode":0}' });
  expect(peer.texts).toEqual([{ type: 'control', status: 'connected' }]);
});

test('refusals of create-connect are HTTP statuses', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/process/pty', { id: 'taken' });
  for (const [path, protocols, status] of [
    ['?id=taken', [], 409], ['?id=', [], 400], ['', [], 400], ['?id=x&cols=1001', [], 400], ['?id=x&rows=-1', [], 400], ['?id=x&cols=a', [], 400],
    ['?id=x&cwd=/does/not/exist', [], 400], ['?id=x', ['X-Daytona-Pty-Envs~bm8', EXIT_CONTROL], 400], ['?id=x', [envsToken({ 'a=b': 'c' }), EXIT_CONTROL], 400],
  ] as const) {
    const peer = await connect(toolbox, `/process/pty/create-connect${path}`, protocols);
    expect([path, peer.refused?.status]).toEqual([path, status]);
    expect(JSON.parse(peer.refused!.body)).toMatchObject({ statusCode: status, source: 'DAYTONA_DAEMON', error: expect.any(String) });
  }
  expect((await toolbox.get('/process/pty/create-connect')).status).toBe(426);
  expect((await toolbox.get('/process/pty')).json.sessions.length).toBe(1);
});

test('REST: create, get, duplicate, sizes, resize, delete', async () => {
  const toolbox = await startToolbox();
  expect(await toolbox.post('/process/pty', { id: 'a b/c', cwd: '/tmp', cols: 0 })).toMatchObject({ status: 201, json: { sessionId: 'a b/c' } });
  expect((await toolbox.get('/process/pty/a%20b%2Fc')).json).toMatchObject({ id: 'a b/c', cwd: '/tmp', cols: 80, rows: 24, active: true });
  expect(await toolbox.post('/process/pty', { id: 'a b/c' })).toMatchObject({ status: 409, json: { error: expect.stringContaining('already exists') } });
  for (const body of [{}, { id: '' }, { id: 'x', cols: 1001 }, { id: 'x', rows: 1.5 }, { id: 'x', cwd: '/nope' }, { id: 'x', envs: { A: 1 } }]) {
    expect((await toolbox.post('/process/pty', body)).status).toBe(400);
  }
  const peer = await connect(toolbox, '/process/pty/a%20b%2Fc/connect');
  peer.socket.send("trap 'echo size changed: $(stty size)' WINCH; echo trap s''et\r");
  await peer.sees('trap set');
  expect(await toolbox.post('/process/pty/a%20b%2Fc/resize', { cols: 132, rows: 50 })).toMatchObject({ status: 200, json: { cols: 132, rows: 50 } });
  peer.socket.send('\r');
  await peer.sees('size changed: 50 132');
  for (const body of [{}, { cols: 10 }, { cols: 0, rows: 1 }, { cols: 1001, rows: 10 }]) expect((await toolbox.post('/process/pty/a%20b%2Fc/resize', body)).status).toBe(400);
  expect((await toolbox.post('/process/pty/other/resize', { cols: 10, rows: 10 })).status).toBe(410);
  expect((await toolbox.get('/process/pty/other')).status).toBe(404);
  expect((await toolbox.send('DELETE', '/process/pty/other')).status).toBe(404);
  expect((await toolbox.send('DELETE', '/process/pty/a%20b%2Fc')).json).toEqual({ message: expect.any(String) });
  expect(await peer.closed()).toEqual({ code: 1011, reason: '{"exitCode":137,"exitReason":"SIGKILL"}' });
  expect((await toolbox.post('/process/pty/a%20b%2Fc/resize', { cols: 10, rows: 10 })).status).toBe(410);
  expect((await toolbox.get('/process/pty')).json.sessions).toEqual([]);
});

test('connecting to an unknown session is told by a control frame', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/none/connect', [EXIT_CONTROL]);
  expect(await peer.closed()).toMatchObject({ code: 1011 });
  expect(peer.texts).toEqual([{ type: 'control', status: 'error', error: expect.stringMatching(/^Failed to connect to PTY session: .*not found/) }]);
});

test('a lazy session starts with its first client', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/process/pty', { id: 'lazy', lazyStart: true });
  expect((await toolbox.get('/process/pty/lazy')).json).toMatchObject({ active: false, lazyStart: true });
  expect((await toolbox.post('/process/pty/lazy/resize', { cols: 90, rows: 40 })).status).toBe(200);
  const peer = await connect(toolbox, '/process/pty/lazy/connect');
  peer.socket.send('stty size\r');
  await peer.sees('40 90');
  expect((await toolbox.get('/process/pty/lazy')).json).toMatchObject({ active: true });
});

test('several clients see the same; one that comes later sees the past only when it asks', async () => {
  const toolbox = await startToolbox();
  const first = await connect(toolbox, '/process/pty/create-connect?id=shared');
  first.socket.send('echo be$((1+1))fore\r');
  await first.sees('be2fore');
  const second = await connect(toolbox, '/process/pty/shared/connect');
  const third = await connect(toolbox, '/process/pty/shared/connect?replay=true');
  await third.sees('be2fore');
  second.socket.send('echo af$((1+1))ter\r');
  for (const peer of [first, second, third]) await peer.sees('af2ter');
  expect(second.bytes().toString()).not.toContain('be2fore');
  third.socket.send('exit 0\r');
  for (const peer of [first, second, third]) expect((await peer.closed()).code).toBe(1000);
});

test('a session outlives its client; a client of a deleted one is told', async () => {
  const toolbox = await startToolbox();
  const first = await connect(toolbox, '/process/pty/create-connect?id=kept');
  first.socket.send('X=still-here\r');
  await first.sees('X=still-here');
  first.socket.close();
  await first.closed();
  const second = await connect(toolbox, '/process/pty/kept/connect');
  second.socket.send('echo "<$X>"\r');
  await second.sees('<still-here>');
});

test('deletion ends everything the terminal ran, jobs in the background and children with a session of their own included', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=busy');
  peer.socket.send('sleep 987 & nohup sleep 987 & setsid -w sleep 987 & (sleep 987; true)\r');
  const alive = async (): Promise<number> => Number((await toolbox.exec('pgrep -fc "^sleep 987" || true')).json.result);
  await eventually(async () => (await alive()) === 4);
  await toolbox.send('DELETE', '/process/pty/busy');
  await eventually(async () => (await alive()) === 0);
  expect((await peer.closed()).code).toBe(1011);
});

test('a child of one terminal holds no other one open', async () => {
  const toolbox = await startToolbox();
  for (const id of ['a', 'b']) await connect(toolbox, `/process/pty/create-connect?id=${id}`);
  const peer = await connect(toolbox, '/process/pty/create-connect?id=c');
  peer.socket.send('for f in /proc/$$/fd/*; do readlink $f; done | grep -c ptmx; echo e$((1+1))nd\r');
  await peer.sees('e2nd');
  expect(peer.bytes().toString()).toMatch(/0\r\ne2nd/);
  expect((await toolbox.exec('for f in /proc/$$/fd/*; do readlink $f; done | grep -c ptmx')).json.result).toBe('0\n');
});
