import * as sdk from '@daytona/sdk';
import { expect, test } from 'vitest';
import { withSandbox, type Sandbox } from './support.ts';

/** Container engines want the one hierarchy of version 2. Root inside may mount it: the sandbox's part of it is its own. */
const OWN_CGROUPS = 'umount -R /sys/fs/cgroup; mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup';

const PACKAGES = 'docker.io docker-cli iptables fuse-overlayfs busybox-static';

/** As root inside. @returns what it printed; throws when it failed */
async function root({ process: run }: Sandbox, command: string): Promise<string> {
  const { exitCode, result } = await run.executeCommand(`sudo sh -c '${command}'`, undefined, undefined, 240);
  if (exitCode !== 0) throw new Error(`${command}: ${exitCode}\n${result}`);
  return result;
}

test('Debian\'s Docker runs containers in a sandbox: built from scratch, with a network of their own', async ({ skip }) => {
  await withSandbox(sdk, {}, async (sandbox) => {
    const installed = await sandbox.process.executeCommand(`sudo sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${PACKAGES}' > apt.log 2>&1`, undefined, undefined, 240);
    if (installed.exitCode !== 0) skip(`no Debian packages can be had from inside a sandbox here: ${(await sandbox.process.executeCommand('tail -3 apt.log')).result}`);
    await root(sandbox, `${OWN_CGROUPS}; dockerd > /tmp/dockerd.log 2>&1 & for i in $(seq 1 120); do docker version > /dev/null 2>&1 && exit; sleep 0.25; done; tail /tmp/dockerd.log; exit 1`);
    expect(await root(sandbox, 'docker info --format "{{.CgroupVersion}} {{.Driver}}"')).toBe('2 fuse-overlayfs\n');
    await root(sandbox, 'mkdir -p /tmp/built/bin; cd /tmp/built; cp /bin/busybox bin/; printf "FROM scratch\\nCOPY bin /bin\\nENTRYPOINT [\\"/bin/busybox\\"]\\n" > Dockerfile; DOCKER_BUILDKIT=0 docker build -q -t built .');
    expect(await root(sandbox, 'docker run --rm built echo from a container')).toBe('from a container\n');
    expect(await root(sandbox, 'docker run --rm built id -u; docker run --rm --user 1234 built id -u')).toBe('0\n1234\n');
    // A server of the sandbox, reached from a container over the bridge, and one of a container, reached by a published port.
    await root(sandbox, 'mkdir -p /tmp/www; echo of the sandbox > /tmp/www/index.html; busybox httpd -p 172.17.0.1:8000 -h /tmp/www');
    expect(await root(sandbox, 'docker run --rm built wget -q -O - http://172.17.0.1:8000/')).toBe('of the sandbox\n');
    await root(sandbox, 'docker run -d --name server -p 8001:80 -v /tmp/www:/www built httpd -f -p 80 -h /www');
    expect(await root(sandbox, 'docker exec server /bin/busybox hostname > /dev/null; busybox wget -q -O - http://127.0.0.1:8001/')).toBe('of the sandbox\n');
    expect(await root(sandbox, 'docker stop -t 0 server; docker rm server')).toBe('server\nserver\n');
  });
}, 300_000);

test('what a sandbox makes of its cgroups is bounded, and its limits stay out of its reach', async () => {
  await withSandbox(sdk, {}, async (sandbox) => {
    const made = await root(sandbox, `${OWN_CGROUPS}; cd /sys/fs/cgroup; mkdir a && echo $$ > a/cgroup.procs; for i in $(seq 1 1200); do mkdir g$i 2> /dev/null; done; ls -d a g* | wc -l`);
    expect(Number(made)).toBe(1000);
    // Fifteen levels of long names, of which ten are made; and a name that is no text. Both must go with the sandbox.
    const long = 'n'.repeat(250);
    expect(await root(sandbox, `cd /sys/fs/cgroup; rmdir g*; for i in $(seq 1 15); do mkdir ${long} 2> /dev/null && cd ${long} || break; done; pwd | tr -cd / | wc -c; cd /sys/fs/cgroup; mkdir "$(printf "\\377\\376")"; find . -mindepth 1 -maxdepth 1 -type d | wc -l`)).toBe('13\n3\n');
    for (const file of ['cgroup.max.descendants', 'cgroup.max.depth', 'cgroup.freeze', 'memory.max', 'pids.max', 'cpu.max']) {
      expect(await root(sandbox, `cd /sys/fs/cgroup; test -e ${file} || exit 0; echo max 2> /dev/null > ${file} || echo refused`)).toMatch(/^(refused\n)?$/);
    }
    expect(await root(sandbox, 'cd /sys/fs/cgroup; echo 5000 2> /dev/null > cgroup.max.descendants || echo refused')).toBe('refused\n');
  });
}, 120_000);
