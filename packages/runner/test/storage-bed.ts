import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layoutOf, type Layout } from '@paddock/contract';
import { bindMount, listMounts, unmountAll } from '../src/sys/index.ts';
import type { NetworkSlot } from '../src/types.ts';

/** A data directory of a test's own, and user namespaces to mount for. `dispose` leaves no mount, loop device or file. */
export class StorageBed {
  readonly dir = mkdtempSync(join(tmpdir(), 'paddock-storage-'));
  readonly layout: Layout = layoutOf(join(this.dir, 'data'), join(this.dir, 'run'));
  readonly warnings: string[] = [];
  readonly log = { info: () => undefined, warn: (_: object, message: string) => void this.warnings.push(message) };
  #slots = 0;

  constructor() {
    mkdirSync(this.layout.runDir, { recursive: true });
  }

  settings(sizeGiB = 4) {
    return { layout: this.layout, sizeGiB, device: null, log: this.log };
  }

  /** A layer with an `/etc` and a program that is set-uid root. */
  layer(name: string, files: Readonly<Record<string, string>>): string {
    const dir = join(this.dir, 'layers', name);
    mkdirSync(dir, { recursive: true });
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(dir, path, '..'), { recursive: true });
      writeFileSync(join(dir, path), text);
    }
    return dir;
  }

  /** A user namespace with 65,536 ids and nobody in it. */
  async slot(): Promise<NetworkSlot> {
    const index = this.#slots++;
    const idBase = 0x2000_0000 + index * 65_536;
    const userNsPath = join(this.dir, `user${index}`);
    const child = spawn('unshare', ['--user', '--', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const own = readlinkSync('/proc/self/ns/user');
    while (readlinkSync(`/proc/${child.pid}/ns/user`) === own) await new Promise((resolve) => setTimeout(resolve, 1));
    for (const kind of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${kind}`, `0 ${idBase} 65536`);
    closeSync(openSync(userNsPath, 'w'));
    bindMount(`/proc/${child.pid}/ns/user`, userNsPath);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    return { index, userNsPath, netNsPath: '', idBase, address: '' };
  }

  dispose(): void {
    for (const point of listMounts().reverse()) if (point.target.startsWith(`${this.dir}/`)) unmountAll(point.target);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
