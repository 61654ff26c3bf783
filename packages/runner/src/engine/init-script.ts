/** What runs under the sandbox's init: a shell loop that keeps the toolbox alive, on the same listening descriptor. */

/** Single-quotes a word for a POSIX shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

const HOPELESS = 10;

/**
 * - A toolbox that dies is started again after a tenth of a second, so one that dies at once cannot burn more than ten
 *   starts a second. After ten lives in a row of under a second nothing will help it (the memory limit is below its needs,
 *   say): the sandbox ends, which tells the runner at once.
 * - SIGTERM (tini passes it on) reaches everything this user may signal, then the loop waits for the toolbox alone: it has
 *   its own grace period for what it started. When the loop ends, init ends and the kernel ends the rest.
 * - `wait` returns early for each signal that is caught, hence the inner loop.
 *
 * @param toolbox argument vector of the toolbox
 */
export function initScript(toolbox: readonly string[]): string {
  return [
    'stop= deaths=0',
    `trap 'stop=1; kill -TERM -1 2>/dev/null' TERM INT HUP`,
    'while [ -z "$stop" ]; do',
    '  read born rest < /proc/uptime',
    `  ${toolbox.map(quoted).join(' ')} &`,
    '  toolbox=$!',
    '  while kill -0 $toolbox 2>/dev/null; do wait $toolbox; done',
    '  [ -z "$stop" ] || break',
    '  read died rest < /proc/uptime',
    '  if [ $((${died%.*} - ${born%.*})) -gt 1 ]; then deaths=0; else deaths=$((deaths + 1)); fi',
    `  [ $deaths -lt ${HOPELESS} ] || exit 1`,
    '  sleep 0.1',
    'done',
  ].join('\n');
}
