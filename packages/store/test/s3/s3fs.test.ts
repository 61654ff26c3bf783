import { accessSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listAll, readText } from '../blobs/support.ts';
import { BUCKET, startS3 } from './support.ts';
import { run } from './tools.ts';

const reason = existsSync('/dev/fuse') && process.getuid?.() === 0 ? null : 'there is no /dev/fuse for root here';
if (reason !== null) console.log(`s3fs is not tested: ${reason}`);

/** What a user does in a mounted bucket. The mount and its daemon end with the namespaces they live in. */
const SESSION = `
set -e
mkdir "$DIR/mnt"
s3fs "$BUCKET:/volumes/v1" "$DIR/mnt" -o url="$ENDPOINT" -o use_path_request_style -o passwd_file="$DIR/passwd" -o retries=1 $OPTIONS
cd "$DIR/mnt"
echo hello > file.txt
mkdir -p "sub dir/deep"
head -c 23000000 /dev/zero | tr '\\0' 'x' > "sub dir/deep/big"
cp "sub dir/deep/big" copy
cmp copy "sub dir/deep/big"
mv file.txt renamed.txt
echo more >> renamed.txt
chmod 600 renamed.txt
stat -c %a renamed.txt
rm copy
ls -1 . "sub dir"
cat renamed.txt
ln -s renamed.txt link && cat link
cd /
umount "$DIR/mnt"
`;

/** Debian's s3fs, the tool of the docs' Mount External Storage. */
test.skipIf(reason).for(['', '-o listobjectsv2', '-o nomultipart'])('s3fs mounts the store (options %j)', { timeout: 120_000 }, async (options) => {
  await using s3 = await startS3();
  const directory = mkdtempSync(join(tmpdir(), 'paddock-s3fs-'));
  try {
    const { accessKey, secretKey, endpoint } = s3.access({ prefix: 'volumes/v1/', expiresInSeconds: null }, 'keys');
    writeFileSync(join(directory, 'passwd'), `${accessKey}:${secretKey}`, { mode: 0o600 });
    accessSync(directory);
    const said = await run('unshare', ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', 'sh', '-c', SESSION], { DIR: directory, BUCKET, ENDPOINT: endpoint, OPTIONS: options });
    expect(said).toBe('600\n.:\nrenamed.txt\nsub dir\n\nsub dir:\ndeep\nhello\nmore\nhello\nmore\n');
    expect((await listAll(s3.blobs, '')).keys.filter((key) => !key.endsWith('/'))).toEqual(['volumes/v1/link', 'volumes/v1/renamed.txt', 'volumes/v1/sub dir/deep/big']);
    expect(await readText(s3.blobs, 'volumes/v1/renamed.txt')).toBe('hello\nmore\n');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
