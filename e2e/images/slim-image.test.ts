/**
 * That the two ways to the slim image end in the same, on a runner of its own. Not in CI, as all of e2e/images: packages are downloaded and
 * unpacked for minutes. packages/cli/test/images-slim.test.ts compares what the two are told.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryRegistry, imageOf } from '../../packages/runner/test/image-bed.ts';
import { bootRunner, type TestRunner } from '../../packages/runner/test/support.ts';
import { buildImage } from '../../packages/cli/src/images/index.ts';

/** Debian as its project publishes it for containers: the smallest set that apt needs, with unpacked documentation. */
function debian(): Buffer {
  return execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', '--format=tar', 'trixie', '-'], { maxBuffer: 2 ** 30, stdio: ['ignore', 'pipe', 'ignore'] });
}

describe('the slim image by its Dockerfile', () => {
  let runner: TestRunner;
  let hub: MemoryRegistry;
  let said = '';
  const ids: string[] = [];

  beforeAll(async () => {
    hub = await MemoryRegistry.start();
    hub.add('library/debian', imageOf([debian()], { config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['bash'] } }), 'trixie-slim');
    runner = await bootRunner((config) => void Object.assign(config.registries, { mirrors: { 'docker.io': [`http://${hub.host}`] } }));
    await buildImage(runner.layout, 'slim', 'slim.2', (text) => void (said += text));
    for (const image of ['slim', 'slim.2']) ids.push((await runner.create({ image, user: null })).id);
  });
  afterAll(async () => {
    await hub?.stop();
    await runner?.destroy();
  });

  const both = (command: string): Promise<string[]> => Promise.all(ids.map((id) => runner.output(id, command)));

  it('is built under another name, and shows its steps meanwhile', () => {
    expect(said).toMatch(/^STEP 1\/\d+: FROM debian:trixie-slim$/m);
    expect(said).toMatch(/slim\.2 is ready: \d+ MB\n$/);
  });

  it.each([
    ['packages', 'dpkg-query --show --showformat "\\${Package}\\n" | sort'],
    ['environment', 'env | grep -E "^(PATH|LANG|PIP_)" | sort'],
    ['user', 'id; getent passwd daytona; pwd; sudo -n cat /etc/sudoers.d/daytona; stat -c "%a %U" ~ /etc/sudoers.d/daytona'],
    ['settings of apt', 'apt-config dump | grep -E "^(APT::Install|Acquire::Languages)" | sort'],
    ['settings of dpkg', 'cat /etc/dpkg/dpkg.cfg.d/* | sort'],
    ['ways to install', 'ls /usr/lib/python3*/EXTERNALLY-MANAGED 2>&1 | wc -l; sudo debconf-get-selections 2>/dev/null | grep frontend; echo'],
    ['byte code', 'find /usr/lib/python3.13 -maxdepth 1 -name "*.py" | wc -l; find /usr/lib/python3.13/__pycache__ -name "*.pyc" | wc -l'],
  ])('has the %s of the image of the first start', async (_, command) => {
    const [recipe, dockerfile] = await both(command);
    expect(dockerfile).toBe(recipe);
    expect(recipe).not.toBe('');
  });
});
