import { check, declare } from './libc.ts';

const setfsuid = declare('int setfsuid(unsigned int uid)');
const setfsgid = declare('int setfsgid(unsigned int gid)');
const capget = declare('int capget(void* header, _Out_ void* data)');
const capset = declare('int capset(void* header, void* data)');

/** `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words of each of effective, permitted, inheritable. */
const CAPABILITY_VERSION_3 = 0x20080522;

/**
 * Runs a synchronous function with the thread's file-system ids changed and all capabilities kept (the kernel drops the
 * file-system ones when fsuid leaves 0). An overlay remembers the credentials it was mounted with and acts on its upper
 * layer with them: the ids must be mapped by the upper's idmapped mount, or every write ends with EOVERFLOW.
 * @param id uid and gid, in the host's numbering
 */
export function asFs<T>(id: number, run: () => T): T {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  const capabilities = Buffer.alloc(24);
  check(capget(header, capabilities), 'capget');
  setfsgid(id);
  setfsuid(id);
  try {
    check(capset(header, capabilities), 'capset');
    return run();
  } finally {
    setfsuid(0);
    setfsgid(0);
    check(capset(header, capabilities), 'capset');
  }
}
