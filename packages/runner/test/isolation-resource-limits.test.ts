import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, type TestRunner } from './support.ts';

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

describe('a sandbox that takes all it can', () => {
  it('by forking stays within its own process limit, and goes at once', async () => {
    const bomber = await runner.create({ memoryGiB: 0.5 });
    const neighbour = await runner.create();
    await runner.exec(bomber.id, 'printf "f(){ f|f & }; f" > /tmp/bomb; setsid bash /tmp/bomb > /dev/null 2>&1 < /dev/null &');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await runner.output(neighbour.id, 'echo alive')).toBe('alive');
    const since = performance.now();
    await runner.remove(bomber.id);
    expect(performance.now() - since).toBeLessThan(8_000);
    await runner.remove(neighbour.id);
  });

  it('of memory loses the program that did it, and nothing else', async () => {
    const spec = await runner.create({ memoryGiB: 0.25 });
    const neighbour = await runner.create();
    const { exitCode } = await runner.exec(spec.id, 'python3 -c "a=bytearray(600<<20)"');
    expect(exitCode).toBe(137);
    expect(await runner.output(spec.id, 'echo alive')).toBe('alive');
    expect(await runner.output(neighbour.id, 'echo alive')).toBe('alive');
    for (const { id } of [spec, neighbour]) await runner.remove(id);
  });

  it('of memory through files in /dev/shm cannot reach the host', async () => {
    const spec = await runner.create({ memoryGiB: 0.25 });
    expect((await runner.exec(spec.id, 'head -c 1G /dev/zero > /dev/shm/x')).exitCode).not.toBe(0);
    await runner.remove(spec.id);
  });

  it('of its disk gets an error at its quota', async () => {
    const spec = await runner.create({ diskGiB: 0.1 });
    const text = await runner.output(spec.id, 'head -c 200M /dev/zero > ~/x; rm -f ~/x; echo after > ~/y; cat ~/y');
    expect(text).toMatch(/quota exceeded/i);
    expect(text).toContain('after');
    await runner.remove(spec.id);
  });

  it('of inodes gets an error at its quota', async () => {
    const spec = await runner.create({ diskGiB: 0.05 });
    const text = await runner.output(spec.id, 'python3 -c "\nimport os\nos.mkdir(\\"/tmp/d\\")\nfor i in range(200000): open(f\\"/tmp/d/{i:0200d}\\",\\"w\\").close()" 2>&1 | tail -1', 60);
    expect(text).toMatch(/quota exceeded|no space/i);
    await runner.remove(spec.id);
  });

  it('of what the host lends it, its own small files, gets an error soon', async () => {
    const spec = await runner.create({ user: 'root' });
    expect(await runner.output(spec.id, 'head -c 10M /dev/zero >> /etc/hosts')).toMatch(/no space/i);
    expect(await runner.output(spec.id, 'python3 -c "\nimport os\nfd=os.open(\\"/proc/1/fd/1\\",os.O_WRONLY)\nprint(os.write(fd,b\\"x\\"*65536))" 2>&1 | tail -1')).toMatch(/Permission denied|65536|not permitted/i);
    await runner.remove(spec.id);
  });

  it('of processor time leaves the rest to others', async () => {
    const spec = await runner.create({ cpu: 0.2 });
    const used = await runner.output(spec.id, 'python3 -c "\nimport time\nt=time.time(); c=time.process_time()\nwhile time.time()-t<2: pass\nprint(time.process_time()-c)"');
    expect(Number(used)).toBeLessThan(0.8);
    await runner.remove(spec.id);
  });
});
