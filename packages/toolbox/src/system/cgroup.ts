import { readFile } from 'node:fs/promises';

/**
 * Files of the sandbox's own control group, as far as it can see them. Inside a cgroup namespace the mount's root is the own
 * group; without one its path below the root stands in /proc/self/cgroup. Version 1 has one hierarchy a controller.
 */
export async function readCgroup(v2: string, controller: string, v1: string): Promise<string | null> {
  for (const path of await candidates(v2, controller, v1)) {
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text !== null) return text.trim();
  }
  return null;
}

const MOUNT = '/sys/fs/cgroup';

async function candidates(v2: string, controller: string, v1: string): Promise<string[]> {
  const paths: string[] = [];
  for (const line of (await readFile('/proc/self/cgroup', 'utf8').catch(() => '')).split('\n')) {
    const [id, names, ...rest] = line.split(':');
    const group = rest.join(':').replace(/\/$/, '');
    // A group above the namespace's root is shown as `/..`: it is not ours to read.
    if (group.includes('/..')) continue;
    if (id === '0') paths.push(`${MOUNT}${group}/${v2}`);
    else if (names?.split(',').includes(controller)) paths.push(`${MOUNT}/${controller}${group}/${v1}`);
  }
  return paths;
}
