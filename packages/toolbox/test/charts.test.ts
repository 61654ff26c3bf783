import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

const MARKER = 'dtn_artifact_k39fd2:';

test('lines that begin with the marker become charts, all others stay as they were', async () => {
  const toolbox = await startToolbox();
  const code = [
    `import sys, time`,
    `w = lambda text: (sys.stdout.write(text), sys.stdout.flush(), time.sleep(0.02))`,
    `w("before\\ndtn_arti"); w("fact_k39fd2:"); w('{"type":"chart","value":{"type":"line",'); w('"title":"T"}}\\n')`,
    `w("dtn_artifact of another kind\\n  ${MARKER} not at the start\\n"); w("${MARKER}not json\\n"); w("dtn_art")`,
  ].join('\n');
  const { json } = await toolbox.post('/process/code-run', { language: 'python', code });
  expect(json).toEqual({ exitCode: 0, result: `before\ndtn_artifact of another kind\n  ${MARKER} not at the start\ndtn_art`, artifacts: { charts: [{ type: 'line', title: 'T' }] } });
});

test('plain commands keep marker lines', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec(`echo '${MARKER}{}'`)).json).toEqual({ exitCode: 0, result: `${MARKER}{}\n` });
});

const python = process.env['PADDOCK_TEST_PYTHON'] ?? 'python3';
const hasMatplotlib = spawnSync(python, ['-c', 'import matplotlib']).status === 0;
if (!hasMatplotlib) console.warn('charts: this Python has no matplotlib, figures are not drawn here');

const HEAD = 'import matplotlib\nmatplotlib.use("Agg")\nimport matplotlib.pyplot as plt\n';

test.runIf(hasMatplotlib).each([
  ['line', 'plt.plot([1, 2], [3, 4], label="a"); plt.xlabel("x"); plt.ylabel("y"); plt.title("T"); plt.show()',
    { type: 'line', title: 'T', x_label: 'x', y_label: 'y', x_scale: 'linear', y_scale: 'linear', elements: [{ label: 'a', points: [[1, 3], [2, 4]] }] }],
  ['scatter', 'plt.scatter([1, 2], [3, 4]); plt.yscale("log"); plt.show()', { type: 'scatter', y_scale: 'log', elements: [{ label: '', points: [[1, 3], [2, 4]] }] }],
  ['bar', 'plt.bar(["p", "q"], [1, 2.5], label="g"); plt.show()', { type: 'bar', elements: [{ label: 'p', group: 'g', value: '1' }, { label: 'q', group: 'g', value: '2.5' }] }],
  ['horizontal bar', 'plt.barh(["p", "q"], [1, 2]); plt.show()', { type: 'bar', elements: [{ label: 'p', group: '', value: '1' }, { label: 'q', group: '', value: '2' }] }],
  ['pie', 'plt.pie([1, 3], labels=["p", "q"]); plt.show()', { type: 'pie', elements: [{ label: 'p', angle: 90, radius: 1 }, { label: 'q', angle: 270, radius: 1 }] }],
  ['box', 'plt.boxplot([[1, 2, 3, 4, 100]]); plt.show()',
    { type: 'box_and_whisker', elements: [{ label: '1', min: 1, first_quartile: 2, median: 3, third_quartile: 4, max: 4, outliers: [100] }] }],
  ['composite', 'f, (a, b) = plt.subplots(1, 2); a.plot([1], [2]); b.bar(["x"], [1]); f.suptitle("S"); plt.show()',
    { type: 'composite_chart', title: 'S', elements: [{ type: 'line' }, { type: 'bar' }] }],
  ['dates', 'import datetime as d; plt.plot([d.datetime(1970, 1, 2), d.datetime(1970, 1, 3)], [1, 2]); plt.show()', { type: 'line', x_scale: 'datetime', elements: [{ points: [[86400, 1], [172800, 2]] }] }],
])('figure: %s', async (_, code, chart) => {
  const toolbox = await startToolbox({ env: { PATH: `${process.env['PADDOCK_TEST_PYTHON_DIR'] ?? ''}:${process.env['PATH']}` } });
  const { json } = await toolbox.post('/process/code-run', { language: 'python', code: `${HEAD}print("drawn", end="")\n${code}` });
  expect(json.result.trim()).toBe('drawn');
  expect(json.artifacts.charts).toHaveLength(1);
  expect(json.artifacts.charts[0]).toMatchObject(chart);
  expect(Buffer.from(json.artifacts.charts[0].png, 'base64').subarray(1, 4).toString()).toBe('PNG');
});

test.runIf(hasMatplotlib)('figures never shown give no chart, the same figure twice gives one, and tracebacks show the user\'s frames', async () => {
  const toolbox = await startToolbox({ env: { PATH: `${process.env['PADDOCK_TEST_PYTHON_DIR'] ?? ''}:${process.env['PATH']}` } });
  const run = async (code: string) => (await toolbox.post('/process/code-run', { language: 'python', code: HEAD + code })).json;
  expect((await run('plt.plot([1])')).artifacts).toBeUndefined();
  expect((await run('plt.plot([1]); plt.show(); plt.plot([1]); plt.show()')).artifacts.charts).toHaveLength(1);
  const failed = await run('plt.plot([1]); plt.show()\n1/0');
  expect(failed.exitCode).toBe(1);
  expect(failed.artifacts.charts).toHaveLength(1);
  expect(failed.result).toMatch(/^Traceback[^]*"<target_code>", line 5[^]*1\/0[^]*ZeroDivisionError/);
  expect(failed.result).not.toContain('_run');
});

test('a source that only mentions matplotlib, or cannot find it, runs as it is', async () => {
  const toolbox = await startToolbox({ env: { PYTHONNOUSERSITE: '1' } });
  const { json } = await toolbox.post('/process/code-run', { language: 'python', code: '# import matplotlib\n1/0' });
  expect(json.result).toContain('"<stdin>"');
  const wrapped = await toolbox.post('/process/code-run', { language: 'python', code: 'try:\n  import matplotlib.nothing_of_that_name\nexcept ImportError:\n  print("none", __name__)' });
  expect(wrapped.json).toEqual({ exitCode: 0, result: 'none __main__\n' });
});
