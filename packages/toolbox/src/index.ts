/** What the engine needs to know to start a toolbox. The toolbox itself is a program: see main.ts. */

/**
 * Flags of the toolbox's Node, before the script.
 *
 * `--v8-pool-size=1` and `--single-threaded-gc` leave out V8's helper threads: a daemon that idles gains nothing from
 * them, and each costs a stack and a slot of the sandbox's process limit. `--max-semi-space-size=1` (MiB) lets the young
 * generation be collected while buffers of a transfer are still few: 256 MiB pass in constant memory. `--expose-gc` is for
 * giving memory back when it falls quiet. `--no-sparkplug` leaves out baseline code, 0.5 MiB as soon as a command has run and more
 * after many; start and commands take as long without it, and what is hot is optimised either way. `--disable-sigusr1`: a signal from
 * inside must not open a debugger port.
 */
export const TOOLBOX_NODE_FLAGS: readonly string[] = [
  '--v8-pool-size=1', '--single-threaded-gc', '--max-semi-space-size=1', '--expose-gc', '--no-sparkplug', '--disable-sigusr1',
];

/**
 * Variables the engine sets for the toolbox process itself. It removes them from what it starts for the user, whose own
 * values come by `POST /init`. They keep glibc from holding on to memory: one arena (it would otherwise keep one for each
 * thread), blocks of 64 KiB, which is one read of a transfer, mapped on their own, and the heap's free end returned from 256 KiB on.
 */
export const TOOLBOX_PROCESS_ENV: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '262144',
};
