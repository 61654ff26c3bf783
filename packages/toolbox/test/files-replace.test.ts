import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

test('replaces literal text in each file, keeps mode and foreign bytes, tells each outcome', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  const at = (name: string) => join(toolbox.dir, name);
  await toolbox.exec(`printf 'a.b a.b\\377axb' > f; chmod 750 f; printf 'none' > g; mkdir d; printf 'a.b' > closed; chmod 400 closed`);
  const { status, json } = await toolbox.post('/files/replace', { files: ['f', at('g'), 'd', 'missing', 'closed'], pattern: 'a.b', newValue: '$&é' });
  expect(status).toBe(200);
  expect(json).toEqual([
    { file: 'f', success: true }, { file: at('g'), success: true },
    { file: 'd', success: false, error: expect.stringContaining('directory') },
    { file: 'missing', success: false, error: expect.stringContaining('not found') },
    { file: 'closed', success: false, error: expect.stringContaining('permission denied') },
  ]);
  expect(readFileSync(at('f'))).toEqual(Buffer.concat([Buffer.from('$&é $&é'), Buffer.from([0xff]), Buffer.from('axb')]));
  expect((statSync(at('f')).mode & 0o777).toString(8)).toBe('750');
});

test('a new value may be empty, a pattern may not', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'f'), 'xyx');
  await toolbox.post('/files/replace', { files: ['f'], pattern: 'x', newValue: '' });
  expect(readFileSync(join(toolbox.dir, 'f'), 'utf8')).toBe('y');
  for (const body of [{ files: ['f'], pattern: '', newValue: 'x' }, { files: ['f'], pattern: 'x' }, { pattern: 'x', newValue: '' }]) expect((await toolbox.post('/files/replace', body)).status).toBe(400);
});
