import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

const require = createRequire(import.meta.url);

/** The servers Paddock brings along, laid out as in the guest runtime, for PADDOCK_LSP_DIR. Gone with the test. */
export function broughtServers(): string {
  const brought = mkdtempSync(join(tmpdir(), 'paddock-lsp-'));
  onTestFinished(() => rmSync(brought, { recursive: true, force: true }));
  symlinkSync(dirname(require.resolve('pyright/package.json')), join(brought, 'pyright'));
  symlinkSync(dirname(createRequire(require.resolve('typescript/package.json')).resolve('@typescript/typescript-linux-x64/package.json')), join(brought, 'typescript'));
  return brought;
}
