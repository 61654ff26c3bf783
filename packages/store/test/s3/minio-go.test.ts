import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startS3 } from './support.ts';
import { run } from './tools.ts';

const SOURCE = join(import.meta.dirname, 'minio-client');

/** The program, kept between runs of a machine, or why there is none. */
function build(): string | { readonly missing: string } {
  const version = createHash('sha256').update(readFileSync(join(SOURCE, 'main.go'))).update(readFileSync(join(SOURCE, 'go.sum'))).digest('hex').slice(0, 12);
  const program = `/var/tmp/paddock-test-minio-go-${version}`;
  if (existsSync(program)) return program;
  const built = spawnSync('go', ['build', '-o', program, '.'], { cwd: SOURCE, encoding: 'utf8' });
  return built.status === 0 ? program : { missing: built.error?.message ?? built.stderr };
}

test('minio-go, the library of the CLI, works with the store', { timeout: 400_000 }, async ({ skip }) => {
  const program = build();
  if (typeof program !== 'string') return skip(`the Go program cannot be built here: ${program.missing}`);
  await using s3 = await startS3();
  for (const form of ['session', 'keys'] as const) {
    const access = s3.access({ prefix: 'org/', actions: ['read', 'write', 'list'] }, form);
    expect(JSON.parse(await run(program, [], { ACCESS: JSON.stringify(access) }))).toEqual({
      before: form === 'session' ? 0 : 2, after: 2, same: true, signed: 300_000, trailing: 300_000, default: 300_000, elsewhere: 'AccessDenied', none: 'NoSuchKey',
    });
  }
});
