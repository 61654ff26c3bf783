/**
 * What images/sandbox promises, tried in a sandbox. Not in CI: the image takes minutes to build and gigabytes of downloads.
 * `npm run test:images` builds it on a runner of its own; with PADDOCK_IMAGES_DATA_DIR that runner's data, and so the image, is
 * kept there between runs. PADDOCK_BUILD_CA_FILE as for `paddock up`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage } from '../../packages/cli/src/images/index.ts';
import { TestRunner, bootRunner } from '../../packages/runner/test/support.ts';

const KEPT = process.env['PADDOCK_IMAGES_DATA_DIR'];
const IMAGE = process.env['PADDOCK_IMAGES_NAME'] ?? 'sandbox';

describe('the sandbox image', () => {
  let runner: TestRunner;
  let id: string;

  beforeAll(async () => {
    const configure = (config: TestRunner['config']): void => void Object.assign(config.builds, { caFile: process.env['PADDOCK_BUILD_CA_FILE'] ?? null });
    if (KEPT === undefined) {
      runner = await bootRunner(configure);
    } else {
      runner = new TestRunner(KEPT);
      configure(runner.config);
      await runner.start();
      await runner.ready();
    }
    if (!(await hasImage())) await buildImage(runner.layout, 'sandbox', IMAGE, (text) => void process.stdout.write(text));
    id = (await runner.create({ image: IMAGE, user: null, cpu: 2, memoryGiB: 4, diskGiB: 10 })).id;
  });
  afterAll(async () => {
    if (KEPT === undefined) return runner?.destroy();
    if (id !== undefined) await runner.remove(id);
    await runner?.stop();
  });

  const hasImage = async (): Promise<boolean> => (await runner.ask<{ state?: string }>('GET', `/v1/images/${IMAGE}`)).body.state === 'ready';
  const run = (command: string): Promise<string> => runner.output(id, command, 120);

  it('runs as daytona at home, with sudo and a locale', async () => {
    expect(await run('id -un; pwd; sudo -n id -un; echo $LANG; locale 2>&1 | grep -c "Cannot set" || true')).toBe('daytona\n/home/daytona\nroot\nen_US.UTF-8\n0');
  });

  it.each([
    'git', 'gh', 'curl', 'wget', 'rg', 'jq', 'make', 'gcc', 'g++', 'cmake', 'ffmpeg', 'sqlite3', 'zip', 'ssh', 'sshd', 'zsh', 'chromium', 'Xvfb', 'x11vnc', 'xfce4-session', 'websockify',
    'xdotool', 'scrot', 'wmctrl', 'node', 'npm', 'npx', 'tsc', 'ts-node', 'typescript-language-server', 'pyright', 'bun', 'claude', 'codex', 'opencode', 'openclaw', 'uv', 'pipx', 'pylsp', 'pip',
  ])('has %s', async (program) => expect(await run(`command -v ${program}`)).toMatch(/^\//));

  it.each([
    'anthropic', 'bs4', 'claude_agent_sdk', 'daytona', 'django', 'flask', 'huggingface_hub', 'instructor', 'jax', 'keras', 'langchain', 'llama_index.core', 'matplotlib.pyplot', 'numpy', 'ollama',
    'openai', 'agents', 'cv2', 'pandas', 'PIL', 'pydantic_ai', 'requests', 'sklearn', 'scipy.stats', 'seaborn', 'sqlalchemy', 'torch', 'transformers',
  ])('imports %s', async (module) => expect(await runner.exec(id, `python -W ignore -c "import ${module}" 2>/tmp/error || cat /tmp/error`, 120)).toMatchObject({ exitCode: 0, result: expect.not.stringMatching(/Error/) }));

  it('computes: a model is fitted, a network trained', async () => {
    expect(await run(`python - <<'E' 2>/dev/null
from sklearn.linear_model import LinearRegression
import numpy as np, keras
print(round(float(LinearRegression().fit([[1], [2]], [2, 4]).predict([[3]])[0])))
model = keras.Sequential([keras.layers.Dense(1)])
model.compile(loss="mse")
model.fit(np.ones((8, 1)), np.ones((8, 1)), epochs=1, verbose=0)
print(keras.backend.backend())
E`)).toBe('6\njax');
  });

  it('has PyTorch that shares memory with the installed numpy, and that transformers and Keras work with', async () => {
    expect(await run(`KERAS_BACKEND=torch python -W ignore - <<'E' 2>/tmp/error || tail -5 /tmp/error
import numpy as np, torch, keras, transformers
a = np.arange(4, dtype="float32")
t = torch.from_numpy(a)
t.add_(1)
print(a.sum(), (t @ t).item(), np.asarray(torch.ones(2)).tolist(), torch.cuda.is_available())
model = torch.nn.Linear(4, 1)
model(t).backward()
print(model.weight.grad.numpy().tolist(), transformers.utils.is_torch_available())
net = keras.Sequential([keras.layers.Dense(1)])
net.compile(loss="mse")
net.fit(np.ones((8, 1)), np.ones((8, 1)), epochs=1, verbose=0)
print(keras.backend.backend())
config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=10)
print(list(transformers.BertModel(config)(torch.tensor([[1, 2, 3]])).last_hidden_state.shape))
E`)).toBe('10.0 30.0 [1.0, 1.0] False\n[[1.0, 2.0, 3.0, 4.0]] True\ntorch\n[1, 3, 8]');
  });

  it('runs TypeScript, as it is and compiled', async () => {
    expect(await run(`cd /tmp && echo "const n: number = 41; console.log(n + 1)" >a.ts && ts-node -T -O '{"module":"commonjs"}' a.ts && tsc a.ts && node a.js && bun a.ts && node a.ts`)).toBe('42\n42\n42\n42');
  });

  it.each(['claude', 'codex', 'opencode', 'openclaw'])('starts %s', async (agent) => expect(await run(`${agent} --version 2>&1 | tail -1`)).toMatch(/\d+\.\d+/));

  it('lets daytona install for itself and for all', async () => {
    expect(await run('touch /usr/local/lib/x && rm /usr/local/lib/x && echo free; npm config get prefix')).toMatch(/^free\n/);
  });

  it('shows a page in the browser on the desktop, which VNC shows in turn', async () => {
    await run('Xvfb :9 -screen 0 1024x768x24 >/dev/null 2>&1 & sleep 2; DISPLAY=:9 dbus-run-session startxfce4 >/tmp/xfce.log 2>&1 & sleep 8; echo');
    expect(await run('DISPLAY=:9 wmctrl -l | wc -l; DISPLAY=:9 scrot -o /tmp/screen.png && file -b --mime-type /tmp/screen.png')).toMatch(/image\/png$/);
    await run('x11vnc -display :9 -rfbport 5909 -bg -nopw -forever -o /tmp/vnc.log >/dev/null 2>&1; websockify --web /usr/share/novnc 6089 127.0.0.1:5909 >/tmp/novnc.log 2>&1 & sleep 3; echo');
    expect(await run('curl -s http://127.0.0.1:6089/vnc.html | grep -c noVNC')).not.toBe('0');
    expect(await run('chromium --headless --disable-gpu --dump-dom "data:text/html,<p>hello</p>" 2>/tmp/chromium.log || cat /tmp/chromium.log')).toContain('<p>hello</p>');
  });

  it('makes a video', async () => {
    expect(await run('ffmpeg -v error -f lavfi -i testsrc=duration=1:size=64x64 -y /tmp/a.mp4 && file -b /tmp/a.mp4')).toContain('MP4');
  });
});
