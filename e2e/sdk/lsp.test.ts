import { describe, expect, test } from 'vitest';
import { SDKS, withSandbox } from './support.ts';

describe.each(SDKS)('language servers with %s', (_name, sdk) => {
  test('python on an image without a server', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.fs.uploadFile(Buffer.from('class Dog:\n    def bark(self):\n        return 1\n\nDog().\n'), 'project/pets.py');
      const lsp = await sandbox.createLspServer(sdk.LspLanguageId.PYTHON, 'project');
      await expect(lsp.documentSymbols('project/pets.py')).rejects.toBeInstanceOf(sdk.DaytonaLspServerNotInitializedError);
      await lsp.start();
      const home = await sandbox.getUserHomeDir();
      await lsp.didOpen(`${home}/project/pets.py`);
      expect((await lsp.documentSymbols(`${home}/project/pets.py`)).map(({ name }) => name)).toEqual(['Dog', 'bark']);
      expect((await lsp.sandboxSymbols('Dog')).map(({ name }) => name)).toEqual(['Dog']);
      const { items } = await lsp.completions('project/pets.py', { line: 4, character: 6 });
      expect(items.map(({ label }) => label)).toContain('bark');
      await lsp.didClose(`${home}/project/pets.py`);
      await lsp.stop();
      expect((await sandbox.process.executeCommand('pgrep -cf [l]angserver')).result).toBe('0\n');
    });
  });

  test('typescript on an image without Node', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.fs.uploadFile(Buffer.from('export class Greeter {\n  greet(): string { return ""; }\n}\nnew Greeter().\n'), 'project/a.ts');
      const lsp = await sandbox.createLspServer(sdk.LspLanguageId.TYPESCRIPT, 'project');
      await lsp.start();
      expect((await lsp.sandboxSymbols('Greeter')).map(({ name }) => name)).toEqual(['Greeter']);
      await lsp.didOpen('project/a.ts');
      expect((await lsp.documentSymbols('project/a.ts')).map(({ name }) => name)).toEqual(['Greeter', 'greet']);
      const { items } = await lsp.completions('project/a.ts', { line: 3, character: 14 });
      expect(items.map(({ label }) => label)).toEqual(['greet']);
      expect((await lsp.completions('project/a.ts', { line: 0, character: 0 })).items.length).toBeGreaterThan(10);
      await lsp.stop();
      expect((await sandbox.process.executeCommand('pgrep -cf "[t]sc --lsp"')).result).toBe('0\n');
    });
  });
});
