import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build, limitBuilds, objectStorage, sourceOf, tar, type ObjectStorage } from './builds-support.ts';
import { bootRunner, type TestRunner } from './support.ts';

describe('a build that fails', () => {
  let runner: TestRunner;
  let storage: ObjectStorage;

  beforeAll(async () => {
    [runner, storage] = await Promise.all([bootRunner(limitBuilds({ memoryGiB: 0.5, diskGiB: 0.4 })), objectStorage()]);
  });
  afterAll(async () => {
    storage?.close();
    await runner?.destroy();
  });

  it('names the step, its exit code and its last lines', async () => {
    const { image, log } = await build(runner, sourceOf('FROM paddock/slim\nENV A=b\nRUN echo one; echo two; exit 7\nRUN echo never'));
    expect(image).toEqual({ name: image.name, state: 'failed', sizeBytes: null, reason: 'Step 3/4 `RUN echo one; echo two; exit 7` failed with exit code 7: one\ntwo' });
    expect(log.trimEnd()).toMatch(/STEP 3\/4: RUN echo one; echo two; exit 7\none\ntwo$/);
  });

  it('names what a COPY does not find', async () => {
    const { image } = await build(runner, sourceOf('FROM paddock/slim\nCOPY nothere /x'));
    expect(image.reason).toMatch(/^Step 2\/2 `COPY nothere \/x` failed: .*nothere.*no such file/);
  });

  it('names what only BuildKit can do, before anything runs', async () => {
    const { image, log } = await build(runner, sourceOf('FROM paddock/slim\nRUN echo ran\nCOPY --parents a b'));
    expect(image).toMatchObject({ state: 'failed', reason: 'This Dockerfile cannot be built: line 3: COPY --parents is BuildKit\'s alone; write one COPY for each directory' });
    expect(log).not.toContain('ran');
  });

  it.each([
    [404, 'upload it again', false],
    [403, 'answered 403', false],
    [503, 'answered 503', true],
  ])('says that a build context cannot be had (%i) without its signature, and whether to ask again', async (status, reason, transient) => {
    storage.objects.set('/broken.tar', status);
    const { image } = await build(runner, sourceOf('FROM paddock/slim', { contexts: [`${storage.url}/broken.tar?X-Amz-Signature=geheim`] }));
    expect(image).toMatchObject({ state: 'failed', reason: expect.stringContaining(reason) });
    expect(image.transient ?? false).toBe(transient);
    expect(image.reason).not.toContain('geheim');
  });

  it('says that nobody answers for a build context, or that it is no archive', async () => {
    const { image: silent } = await build(runner, sourceOf('FROM paddock/slim', { contexts: ['http://127.0.0.1:1/x.tar?geheim'] }));
    expect(silent).toMatchObject({ state: 'failed', transient: true, reason: expect.stringMatching(/does not answer$/) });
    storage.objects.set('/text.tar', Buffer.from('not a tar at all'.repeat(100)));
    const { image: text } = await build(runner, sourceOf('FROM paddock/slim', { contexts: [`${storage.url}/text.tar`] }));
    expect(text.reason).toBe('The build failed: the build context is no tar archive');
  });

  it('can be asked for again under the same name', async () => {
    const source = sourceOf('FROM paddock/slim\nCOPY late /late', { contexts: [`${storage.url}/late.tar`] });
    expect((await build(runner, source, 'build-late')).image.state).toBe('failed');
    storage.objects.set('/late.tar', await tar({ late: 'x' }));
    expect((await build(runner, source, 'build-late')).image, 'again').toMatchObject({ name: 'build-late', state: 'ready' });
  });

  it('says that it had not enough memory', async () => {
    const { image } = await build(runner, sourceOf(`FROM paddock/slim\nRUN python -c "x = bytearray(b'1') * (2 << 30)"`));
    expect(image.reason).toMatch(/^Step 2\/2 `RUN python .* failed with exit code 137.*The kernel ended a process for lack of memory: a build has 0.5 GiB$/s);
  });

  it('says that its disk is full, and drops the layer cache before it does', async () => {
    const fill = (mib: number, mark: string): string => `FROM paddock/slim\nRUN head -c ${mib}M /dev/zero >/${mark}; sync; [ $(stat -c %s /${mark}) = ${mib << 20} ] || { echo no space left on device; exit 1; }`;
    const { image: tooLarge } = await build(runner, sourceOf(fill(450, 'a')));
    expect(tooLarge.reason).toMatch(/failed with exit code 1: .*Disk quota exceeded\nno space left on device\. The disk of a build has 0.4 GiB$/s);
    expect((await build(runner, sourceOf(fill(90, 'b')))).image.state).toBe('ready');
    const { image, log } = await build(runner, sourceOf(fill(90, 'c')));
    expect(image.state).toBe('ready');
    expect(log).toContain('the layer cache is dropped and the build begins anew');
  }, 240_000);

  it('says that it took too long', async () => {
    await runner.stop();
    Object.assign(runner.config.builds, { timeoutMinutes: 0.1 });
    await runner.start();
    await runner.ready();
    const { image, log } = await build(runner, sourceOf('FROM paddock/slim\nRUN echo begun; sleep 600'));
    expect(image).toMatchObject({ state: 'failed', reason: 'The build took longer than 0.1 minutes' });
    expect(log).toContain('\nbegun\n');
  });
});
