import { once } from 'node:events';
import type { Exchange } from '../http/exchange.ts';
import { onGone, sendText } from '../http/exchange.ts';
import { fail, badRequest } from '../errors.ts';
import { MAX_OUTPUT_BYTES, type Output } from './output.ts';
import type { Outcome } from './run.ts';

/** How much of a timed-out command's output its error carries: enough to see where it was. */
const TIMEOUT_TAIL_BYTES = 64 * 1024;

/**
 * Sends `{exitCode, result, …}`. Text that is no UTF-8 becomes U+FFFD. A long output is sent piece by piece and never
 * held as one text.
 */
export async function sendResult(exchange: Exchange, exitCode: number, output: Output, extra: Readonly<Record<string, unknown>> = {}): Promise<void> {
  try {
    const short = output.inMemory();
    if (short !== null) return sendText(exchange, 200, JSON.stringify({ exitCode, result: short.toString('utf8'), ...extra }));

    const { response } = exchange;
    let gone = false;
    onGone(exchange, () => (gone = true));
    response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8' });
    response.write(`${JSON.stringify({ exitCode, ...extra }).slice(0, -1)},"result":"`);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for await (const chunk of output.read()) {
      if (gone) return;
      const escaped = JSON.stringify(decoder.decode(chunk, { stream: true })).slice(1, -1);
      if (!response.write(escaped)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end(`${JSON.stringify(decoder.decode()).slice(1, -1)}"}`);
  } finally {
    output.dispose();
  }
}

type Unfinished = Exclude<Outcome, { kind: 'ended' } | { kind: 'not-started' }>;

/**
 * The error of a command that was not allowed to finish. Wire: 408 with the word "timeout". What it had printed is kept in
 * `details`, where no client's error mapping looks.
 */
export async function unfinished(outcome: Unfinished, timeoutMs: number | null): Promise<Error> {
  switch (outcome.kind) {
    case 'timeout': {
      const tail = await outcome.output.tail(TIMEOUT_TAIL_BYTES);
      const bytes = outcome.output.bytes;
      outcome.output.dispose();
      return fail('PROCESS_EXECUTION_TIMEOUT', `request timeout: command execution timeout after ${(timeoutMs ?? 0) / 1000} s`, {
        output: tail.toString('utf8'),
        outputBytes: bytes,
        outputTruncated: bytes > tail.length,
      });
    }
    case 'too-long': return badRequest(`the command printed more than ${MAX_OUTPUT_BYTES / 1024 / 1024} MiB and was stopped; let it write to a file and download that`);
    case 'no-space': return badRequest('the command was stopped: no space left on device for its output');
    case 'cancelled': return Object.assign(new Error('the client went away'), { code: 'ECONNRESET' });
  }
}
