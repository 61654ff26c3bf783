/** `paddock images …`: what sandboxes of this server can be made from. */
import { IMAGE_NAME, type Layout, type RunnerImage } from '@paddock/contract';
import { RunnerSocket } from './runner-socket.ts';
import { shippedNames, sourceOf } from './shipped.ts';

export { shippedNames } from './shipped.ts';

/** Names that the control plane gives and takes away. */
const RESERVED = /^(?:sha256|build|sandbox)-/;

export async function listImages(layout: Layout): Promise<string[]> {
  const { images } = (await new RunnerSocket(layout.runnerSocket).ask<{ images: RunnerImage[] }>('GET', '/v1/images'))!;
  const rows = images.map(({ name, state, sizeBytes, reason, progress }) => [name, state, sizeBytes === null ? '' : `${Math.round(sizeBytes / 1e6)} MB`, reason ?? progress?.text ?? '']);
  const absent = shippedNames().filter((name) => !images.some((image) => image.name === name)).map((name) => [name, 'not made', '', `paddock images build ${name}`]);
  const all = [['NAME', 'STATE', 'SIZE', ''], ...rows, ...absent];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) => row.map((cell, column) => (column === 2 ? cell.padStart(widths[2]!) : cell.padEnd(widths[column] ?? 0))).join('  ').trimEnd());
}

/**
 * Makes an image that Paddock ships and prints what making it prints. Ended with Ctrl-C, it goes on; said again, it is followed.
 * @param as another name for the result: a name stands for one content as long as the image exists
 * @returns exit status
 */
export async function buildImage(layout: Layout, name: string, as: string, print: (text: string) => void): Promise<number> {
  const source = sourceOf(name, as);
  if (source === null) throw new Error(`there is no image "${name}"; there are: ${shippedNames().join(', ')}`);
  if (!IMAGE_NAME.test(as) || RESERVED.test(as)) throw new Error(`"${as}" cannot be an image's name: letters, digits, dot, dash and underscore, and not sha256-, build- or sandbox- in front`);
  if (source.kind === 'recipe' && as !== name) throw new Error(`"${name}" is made from a recipe and has that name only`);
  const runner = new RunnerSocket(layout.runnerSocket);
  const path = `/v1/images/${as}`;
  const before = await runner.ask<RunnerImage>('PUT', path, source);
  if (before?.state === 'ready') {
    print(`${as} is there already. For a new version give it another name with --as.\n`);
    return 0;
  }
  const log = await runner.open('GET', `${path}/log?follow=true`);
  try {
    for await (const chunk of log.setEncoding('utf8') as AsyncIterable<string>) print(chunk);
  } catch (error) {
    throw new Error(`the server was stopped meanwhile: say it again when it runs`, { cause: error });
  }
  const image = await runner.ask<RunnerImage>('GET', path);
  if (image?.state === 'ready') {
    print(`${as} is ready: ${Math.round(image.sizeBytes! / 1e6)} MB\n`);
    return 0;
  }
  throw new Error(image === null ? `${as} was removed while it was being made` : image.reason ?? `${as} is ${image.state}`);
}

export async function removeImage(layout: Layout, name: string): Promise<void> {
  const runner = new RunnerSocket(layout.runnerSocket);
  const path = `/v1/images/${encodeURIComponent(name)}`;
  if (RESERVED.test(name)) throw new Error(`"${name}" is kept and removed by the server: delete the snapshots and sandboxes that are made of it`);
  if (!IMAGE_NAME.test(name) || await runner.ask('GET', path) === null) throw new Error(`there is no image "${name}"; \`paddock images list\` says which there are`);
  await runner.ask('DELETE', path);
}
