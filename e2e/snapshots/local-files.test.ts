import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Image } from '@daytona/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { client, SDKS, unique, type Sandbox } from '../sdk/support.ts';
import { Mirror } from './mirror.ts';

/** What the SDK takes from the client's disk into an image: names, modes, links, what it leaves out. */
const [[, sdk]] = SDKS as [(typeof SDKS)[0]];
const daytona = client(sdk);
const mirror = new Mirror();
let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'paddock-local-files-'));
  await mirror.start();
  await mirror.publish('library/debian:13');
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await mirror.stop();
});

const run = async (sandbox: Sandbox, command: string) => (await sandbox.process.executeCommand(command)).result.trim();

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(dir, name, '..'), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
}

async function withImage(image: Image, use: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await daytona.create({ image, resources: { cpu: 1, memory: 1, disk: 3 } }, { timeout: 300, onSnapshotCreateLogs: () => undefined });
  try {
    await use(sandbox);
  } finally {
    await sandbox.delete();
  }
}

test('a directory keeps links, modes, empty directories and names of any letters; a file goes where it is told', async () => {
  write({ 'tree/run.sh': '#!/bin/sh\necho ran', 'tree/.hidden': 'h', 'tree/größe/日本 語.txt': 'unicode', 'tree/a/same.txt': 'one', 'tree/b/same.txt': 'two', 'other/same.txt': 'three', 'grün.txt': 'green' });
  chmodSync(join(dir, 'tree/run.sh'), 0o755);
  mkdirSync(join(dir, 'tree/empty/inner'), { recursive: true });
  symlinkSync('a/same.txt', join(dir, 'tree/relative'));
  symlinkSync('/etc/hostname', join(dir, 'tree/absolute'));
  symlinkSync('nowhere', join(dir, 'tree/dangling'));
  symlinkSync('a', join(dir, 'tree/directory'));
  const image = Image.base('debian:13').addLocalDir(join(dir, 'tree'), '/srv/tree').addLocalFile(join(dir, 'grün.txt'), '/srv/').addLocalFile(join(dir, 'other/same.txt'), '/srv/tree/c/renamed');
  await withImage(image, async (sandbox) => {
    expect(await run(sandbox, 'cd /srv/tree && ./run.sh && cat .hidden größe/日* a/same.txt b/same.txt c/renamed directory/same.txt relative ../grün.txt')).toBe('ran\nhunicodeonetwothreeoneonegreen');
    expect(await run(sandbox, 'cd /srv/tree && readlink relative absolute dangling directory; find empty -type d; stat -c "%U:%G" run.sh empty')).toBe(
      'a/same.txt\n/etc/hostname\nnowhere\na\nempty\nempty/inner\nroot:root\nroot:root',
    );
  });
}, 300_000);

test('a Dockerfile\'s context is what COPY names, less what .dockerignore does', async () => {
  write({
    'project/main.py': 'main', 'project/util.py': 'util', 'project/notes.md': 'notes', 'project/secret.key': 'secret', 'project/node_modules/x/index.js': 'x', 'project/src/deep/mod.py': 'mod',
    'project/.dockerignore': '# left out\n*.key\nnode_modules\n**/*.md\n!src\n',
    'project/Dockerfile': 'FROM debian:13\nCOPY . /app/\nCOPY ["*.py", "/globbed/"]\nCOPY --chmod=700 src/deep \\\n  # a comment in between\n  /deep/\nRUN ls /globbed | tr "\\n" " "\n',
  });
  await withImage(Image.fromDockerfile(join(dir, 'project/Dockerfile')), async (sandbox) => {
    expect(await run(sandbox, 'cd /app && find . -type f | sort; ls /globbed; stat -c %a /deep/mod.py')).toBe('./.dockerignore\n./Dockerfile\n./main.py\n./src/deep/mod.py\n./util.py\nmain.py\nutil.py\n700');
  });
}, 300_000);

test('instructions with a directory of their own take files from there', async () => {
  write({ 'parts/config/app.toml': 'name = "x"', 'parts/run.txt': 'text' });
  const image = Image.base('debian:13').dockerfileCommands(['COPY config /etc/app', 'COPY run.txt /srv/run.txt'], join(dir, 'parts'), { strictContext: true });
  await withImage(image, async (sandbox) => {
    expect(await run(sandbox, 'cat /etc/app/app.toml /srv/run.txt')).toBe('name = "x"text');
  });
}, 300_000);

test('a file that the SDK does not upload is named in the reason', async () => {
  // The SDK reads COPY alone.
  write({ 'added/data.txt': 'x', 'added/Dockerfile': 'FROM debian:13\nADD data.txt /data.txt\n' });
  const made = daytona.snapshot.create({ name: unique('added'), image: Image.fromDockerfile(join(dir, 'added/Dockerfile')) }, { timeout: 300, onLogs: () => undefined });
  await expect(made).rejects.toThrow(/Step 2\/2 `ADD data\.txt \/data\.txt` failed: .*data\.txt.*no such file/s);
}, 300_000);
