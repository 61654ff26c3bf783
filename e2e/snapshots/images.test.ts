import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Image } from '@daytona/sdk';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { client, SDKS, unique, type Sandbox } from '../sdk/support.ts';
import { Mirror } from './mirror.ts';

/** Declarative images: what the SDK's builder says is what the sandbox has. */
const [[, sdk]] = SDKS as [(typeof SDKS)[0]];
const daytona = client(sdk);
const mirror = new Mirror();
let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'paddock-images-'));
  await mirror.start();
  await mirror.publish('library/debian:13');
  // Debian's pip, which this tree has, cannot replace itself; the one of the real image can.
  await mirror.publish('library/python:3.12.10-slim-bookworm', { Env: ['PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'PIP_IGNORE_INSTALLED=1'] });
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await mirror.stop();
});

const run = async (sandbox: Sandbox, command: string) => (await sandbox.process.executeCommand(command)).result.trim();

async function withImage(image: string | Image, use: (sandbox: Sandbox, logs: string) => Promise<void>): Promise<void> {
  const chunks: string[] = [];
  const sandbox = await daytona.create({ image, resources: { cpu: 1, memory: 1, disk: 3 } }, { timeout: 300, onSnapshotCreateLogs: (chunk) => chunks.push(chunk) });
  try {
    await use(sandbox, chunks.join('\n'));
  } finally {
    await sandbox.delete();
  }
}

test('files, directories, env, workdir, commands, entrypoint and raw instructions', async () => {
  writeFileSync(join(dir, 'one.txt'), 'first');
  mkdirSync(join(dir, 'tree/deep'), { recursive: true });
  writeFileSync(join(dir, 'tree/deep/two.txt'), 'second');
  const image = Image.base('debian:13')
    .addLocalFile(join(dir, 'one.txt'), '/data/one.txt')
    .addLocalDir(join(dir, 'tree'), '/data/tree')
    .env({ GREETING: 'hello "there"' })
    .runCommands('echo made > /made', ['touch', '/several words'])
    .runCommands('echo "$GREETING" > /greeted')
    .dockerfileCommands(['RUN chmod 4755 /made && ln -s /made /linked'])
    .workdir('/data')
    .entrypoint(['/bin/sh', '-c', 'echo started > /tmp/entry; exec sleep infinity'])
    .cmd(['ignored']);
  await withImage(image, async (sandbox, logs) => {
    expect(sandbox.state).toBe('started');
    expect(sandbox.buildInfo?.dockerfileContent).toBe(image.dockerfile);
    expect(logs).toContain('echo made > /made');
    expect(await run(sandbox, 'cat /data/one.txt /data/tree/deep/two.txt')).toBe('firstsecond');
    expect(await run(sandbox, 'echo "$GREETING"; cat /greeted; pwd')).toBe('hello "there"\nhello "there"\n/data');
    expect(await run(sandbox, 'stat -c %a /made; readlink /linked; ls -d "/several words"')).toBe('4755\n/made\n/several words');
    await expect.poll(() => run(sandbox, 'cat /tmp/entry')).toBe('started');
  });
}, 300_000);

test('a Dockerfile with its context, several stages and a user', async () => {
  mkdirSync(join(dir, 'project'), { recursive: true });
  writeFileSync(join(dir, 'project/app.py'), 'print("from the context")');
  writeFileSync(join(dir, 'project/Dockerfile'), [
    'FROM debian:13 AS build', 'RUN echo compiled > /out', 'FROM debian:13', 'COPY --from=build /out /out', 'COPY app.py /app/app.py',
    'RUN useradd --create-home worker', 'USER worker', 'WORKDIR /app',
  ].join('\n'));
  await withImage(Image.fromDockerfile(join(dir, 'project/Dockerfile')), async (sandbox) => {
    expect(await run(sandbox, 'cat /out; python3 app.py; id -un')).toBe('compiled\nfrom the context\nworker');
    expect(sandbox.user).toBe('worker');
  });
}, 300_000);

test('debianSlim, as the documentation begins', async () => {
  // The tree that the mirror calls so has no compiler: what the builder's own steps install comes from Debian.
  await withImage(Image.debianSlim('3.12').pipInstall(['six==1.17.0']).workdir('/home/daytona'), async (sandbox, logs) => {
    expect(logs).toContain('FROM python:3.12.10-slim-bookworm');
    expect(await run(sandbox, 'python3 -c "import six; print(six.__version__)"; pwd; command -v gfortran')).toBe('1.17.0\n/home/daytona\n/usr/bin/gfortran');
  });
}, 600_000);

describe('Python packages', () => {
  test('by name, from requirements and from a pyproject', async () => {
    writeFileSync(join(dir, 'requirements.txt'), 'six==1.17.0\n');
    mkdirSync(join(dir, 'py'), { recursive: true });
    writeFileSync(join(dir, 'py/pyproject.toml'), '[project]\nname = "x"\nversion = "1"\ndependencies = ["idna==3.10"]\n[project.optional-dependencies]\ndev = ["iniconfig==2.1.0"]\n');
    const image = Image.base('debian:13').pipInstall(['certifi==2025.1.31']).pipInstallFromRequirements(join(dir, 'requirements.txt'))
      .pipInstallFromPyproject(join(dir, 'py/pyproject.toml'), { optionalDependencies: ['dev'] });
    await withImage(image, async (sandbox) => {
      expect(await run(sandbox, 'python3 -c "import six, certifi, idna, iniconfig; print(six.__version__, idna.__version__)"')).toBe('1.17.0 3.10');
    });
  }, 300_000);
});

test('a text is an image; the second sandbox of it needs no build', async () => {
  await withImage('debian:13', async (sandbox, logs) => {
    expect(logs).toContain('FROM debian:13');
    expect(await run(sandbox, 'echo fine')).toBe('fine');
  });
  const asked = mirror.requests.length;
  await withImage('debian:13', async (sandbox) => {
    expect(sandbox.state).toBe('started');
  });
  expect(mirror.requests.length).toBe(asked);
}, 300_000);

test('a build that fails is an error with the step, its last words and a log that ends', async () => {
  const chunks: string[] = [];
  const name = unique('failing');
  const image = Image.base('debian:13').runCommands('echo before the end', 'echo the last words; exit 7');
  const failure = await daytona.create({ image, name }, { timeout: 300, onSnapshotCreateLogs: (chunk) => chunks.push(chunk) }).then(() => null, (error: Error) => error);
  expect(failure?.message).toContain('build_failed');
  expect(failure?.message).toMatch(/echo the last words; exit 7/);
  expect(chunks.join('\n')).toContain('the last words');
  const sandbox = await daytona.get(name);
  expect(sandbox.state).toBe('build_failed');
  expect(sandbox.errorReason).toMatch(/the last words/);
  await sandbox.delete();
}, 300_000);

test('a base image that is not there is an error too', async () => {
  const image = `localhost:${inject('mirrorPort')}/nobody/nothing:1`;
  const failure = await daytona.create({ image }, { timeout: 300, onSnapshotCreateLogs: () => undefined }).then(() => null, (error: Error) => error);
  expect(failure?.message).toMatch(/nobody\/nothing/);
}, 300_000);
