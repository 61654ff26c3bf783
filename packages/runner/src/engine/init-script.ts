/** What runs under the sandbox's init: a shell loop that keeps the toolbox alive, on the same listening descriptor. */

/** Single-quotes a word for a POSIX shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * - A toolbox that dies is started again after a tenth of a second, so one that dies at once cannot burn more than ten
 *   starts a second.
 * - SIGTERM (tini passes it on) reaches everything this user may signal, then the loop waits for the toolbox alone: it has
 *   its own grace period for what it started. When the loop ends, init ends and the kernel ends the rest.
 * - `wait` returns early for each signal that is caught, hence the inner loop.
 *
 * @param toolbox argument vector of the toolbox
 */
export function initScript(toolbox: readonly string[]): string {
  return [
    'stop=',
    `trap 'stop=1; kill -TERM -1 2>/dev/null' TERM INT HUP`,
    'while [ -z "$stop" ]; do',
    `  ${toolbox.map(quoted).join(' ')} &`,
    '  toolbox=$!',
    '  while kill -0 $toolbox 2>/dev/null; do wait $toolbox; done',
    '  [ -n "$stop" ] || sleep 0.1',
    'done',
  ].join('\n');
}
