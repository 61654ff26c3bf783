import { expect, test } from 'vitest';
import { execute, start } from './interpreter-rig.ts';
import { startToolbox } from './toolbox.ts';

test('frames have five keys, names persist, nothing is echoed, and the socket closes with 1000', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'import sys\nx = 41\nx\nprint("hällo")\nprint("bad", file=sys.stderr)' });
  expect(await peer.closed()).toEqual({ code: 1000, reason: '' });
  expect(peer.texts).toEqual([
    { type: 'stdout', text: 'hällo\n', name: '', value: '', traceback: '' },
    { type: 'stderr', text: 'bad\n', name: '', value: '', traceback: '' },
    { type: 'control', text: 'completed', name: '', value: '', traceback: '' },
  ]);
  expect(await execute(toolbox, 'print(x + 1, __name__)')).toMatchObject({ stdout: '42 __main__\n', error: null, controls: ['completed'], code: 1000 });
});

test('an exception gives an error frame with the frames of the user alone, then completed', async () => {
  const toolbox = await startToolbox();
  await execute(toolbox, 'def f(n):\n    return g(n)\ndef g(n):\n    return 1 / n');
  const ran = await execute(toolbox, 'f(0)');
  expect(ran).toMatchObject({ controls: ['completed'], code: 1000, types: ['error', 'control'] });
  expect(ran.error).toEqual({
    name: 'ZeroDivisionError', value: 'division by zero',
    traceback: expect.stringMatching(/^Traceback \(most recent call last\):\n {2}File "<stdin>", line 1, in <module>\n {4}f\(0\)\n {2}File "<stdin>", line 2, in f\n[^]*line 4, in g\n[^]*ZeroDivisionError: division by zero\n$/),
  });
  const library = (await execute(toolbox, 'import json\njson.loads("{")')).error!;
  expect(library.name).toBe('JSONDecodeError');
  expect(library.traceback).not.toContain('decoder.py');
  const syntax = (await execute(toolbox, 'def (')).error!;
  expect(syntax.traceback).toMatch(/^ {2}File "<stdin>", line 1\n/);
  expect(syntax.value).toContain('(<stdin>, line 1)');
  const chained = (await execute(toolbox, 'try:\n  f(0)\nexcept Exception as e:\n  raise KeyError("k") from e')).error!;
  expect(chained).toMatchObject({ name: 'KeyError', value: "'k'" });
  expect(chained.traceback).toContain('direct cause');
  expect(chained.traceback).not.toContain('worker');
});

test('SystemExit is a normal end', async () => {
  const toolbox = await startToolbox();
  expect(await execute(toolbox, 'import sys\nprint(1)\nsys.exit(3)')).toMatchObject({ stdout: '1\n', error: null, controls: ['completed'], code: 1000 });
  expect(await execute(toolbox, 'exit()')).toMatchObject({ error: null, code: 1000 });
  expect((await execute(toolbox, 'input()')).error).toMatchObject({ name: 'EOFError' });
});

test('input() is at its end, and output of other programs appears in order', async () => {
  const toolbox = await startToolbox();
  expect((await execute(toolbox, 'input("? ")')).error).toMatchObject({ name: 'EOFError' });
  const code = 'import subprocess, os\nprint("a")\nsubprocess.run(["sh", "-c", "echo b; echo c >&2"])\nprint("d")\nos.system("echo e; head -c 3 /dev/stdin")\nos.write(1, b"\\xff")';
  expect(await execute(toolbox, code)).toMatchObject({ stdout: 'a\nb\nd\ne\n\ufffd', stderr: 'c\n', controls: ['completed'] });
});

test('both streams arrive in the order they were written', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'import sys\nfor i in range(20):\n  print("o", i)\n  print("e", i, file=sys.stderr)' });
  await peer.closed();
  const said = peer.texts.filter((frame) => frame.type !== 'control').map((frame) => `${frame.type}:${frame.text}`);
  expect(said).toEqual(Array.from({ length: 20 }, (_, i) => [`stdout:o ${i}\n`, `stderr:e ${i}\n`]).flat());
});

test('output shows while the source runs: lines, carriage returns, long pieces', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'import time\nprint("first")\nprint("50%", end="\\r")\nprint("x" * 1500, end="")\ntime.sleep(30)' });
  const end = Date.now() + 3000;
  while (!/^first\n50%\rx{1024}/.test(peer.texts.map((frame) => frame.text).join('')) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(peer.texts.map((frame) => frame.text).join('')).toMatch(/^first\n50%\rx{1024}/);
});

test('variables of a run are gone after it', async () => {
  const toolbox = await startToolbox();
  await execute(toolbox, 'import os\nos.environ["B"] = "old"');
  expect((await execute(toolbox, 'print(os.environ["A"], os.environ["B"])', { envs: { A: 'a=b\nc', B: 'new' } })).stdout).toBe('a=b\nc new\n');
  expect((await execute(toolbox, 'print(os.environ.get("A"), os.environ["B"])')).stdout).toBe('None old\n');
});

test('early failures are told by the close frame alone', async () => {
  const toolbox = await startToolbox();
  for (const [request, code, reason] of [
    ['{', 1002, /invalid/], ['[]', 1002, /object/], ['{"code":1}', 1002, /code/], ['{"code":"x","timeout":"1"}', 1002, /timeout/],
    ['{"code":"x","envs":{"a=":"b"}}', 1002, /variable/], ['{}', 1008, /code/], ['{"code":""}', 1008, /code/],
    ['{"code":"x","timeout":-1}', 1008, /timeout/], ['{"code":"x","contextId":"nope"}', 1008, /^context not found: nope$/],
  ] as const) {
    const peer = await start(toolbox, request);
    const closed = await peer.closed();
    expect([request, closed.code, peer.texts]).toEqual([request, code, []]);
    expect(closed.reason).toMatch(reason);
  }
});

test('a sandbox without Python says so with 1011', async () => {
  const toolbox = await startToolbox({ env: { PATH: '/nowhere' } });
  expect(await execute(toolbox, '1')).toMatchObject({ code: 1011, reason: expect.stringContaining('Python'), types: [] });
  expect((await toolbox.post('/process/interpreter/context', {})).status).toBe(400);
});

test('a child that the program forks does not answer in its place', async () => {
  const toolbox = await startToolbox();
  const code = 'import os\npid = os.fork()\nif pid == 0:\n  print("child")\nelse:\n  os.waitpid(pid, 0)\n  print("parent")';
  expect(await execute(toolbox, code)).toMatchObject({ stdout: 'child\nparent\n', controls: ['completed'] });
  expect((await execute(toolbox, 'print(2)')).stdout).toBe('2\n');
});

test('the protocol is out of reach of the usual descriptors', async () => {
  const toolbox = await startToolbox();
  const ran = await execute(toolbox, 'import os\nfor fd in range(3, 20):\n  try:\n    os.write(fd, b"D\\0\\0\\0\\0"); print(fd)\n  except OSError: pass\nprint("end")');
  expect(ran.stdout).toBe('end\n');
});

test('50 MB of output arrive whole while the client is slow', async () => {
  const toolbox = await startToolbox();
  const peer = await start(toolbox, { code: 'line = "x" * 99\nfor i in range(500000): print(line)' });
  for (let pause = 0; pause < 5; pause++) {
    peer.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    peer.socket.resume();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect((await peer.closed()).code).toBe(1000);
  expect(peer.texts.reduce((sum, frame) => sum + frame.text.length, 0)).toBe(50_000_000 + 'completed'.length);
});
