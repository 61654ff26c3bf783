import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner?.destroy());

describe('a sandbox whose disk is completely full', () => {
  it('starts again, and room can be made in it', async () => {
    const spec = await runner.create({ diskGiB: 0.0625 });
    const { id } = spec;
    expect(await runner.output(id, 'cat /dev/zero > ~/big 2>/dev/null; i=0; while touch ~/f$i 2>/dev/null; do i=$((i+1)); [ $i -gt 20000 ] && break; done; sync; echo x > ~/y 2>/dev/null || echo full', 60)).toContain('full');
    for (let round = 0; round < 3; round++) {
      await runner.ask('POST', `/v1/sandboxes/${id}/stop`, {});
      const { status, body } = await runner.put(spec);
      expect(status, JSON.stringify(body)).toBe(200);
      expect(await runner.output(id, 'echo x > ~/y || echo full')).toContain('Disk quota exceeded');
    }
    expect(await runner.output(id, 'rm ~/big && sync && head -c 20M /dev/zero > ~/new && echo written')).toBe('written');
    await runner.remove(id);
  });
});
