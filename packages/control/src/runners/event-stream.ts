import { request } from 'node:http';
import type { RunnerEvent } from '@paddock/contract';
import { parseSaid } from './parse-said.ts';

/** First pause before the stream is opened again; doubles up to a second. */
const RETRY_MS = 100;

/**
 * Keeps one connection open on which the runner reports what happened without being asked. Each connection begins with
 * `hello`, after which the listener must compare inventories: what happened in between was told to nobody.
 * @returns closes the stream
 */
export function followRunnerEvents(socketPath: string, listener: (event: RunnerEvent) => void): () => void {
  let closed = false;
  let pauseMs = RETRY_MS;
  let timer: NodeJS.Timeout | undefined;
  let current: ReturnType<typeof request> | undefined;

  function open(): void {
    const req = request({ socketPath, path: '/v1/events', agent: false }, (res) => {
      let rest = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim()) take(line);
      });
      res.on('close', again);
      res.on('error', () => {}); // `close` follows
    });
    req.on('error', again);
    req.end();
    current = req;
  }

  function take(line: string): void {
    const event = parseSaid(line) as RunnerEvent;
    if (event.type === 'hello') pauseMs = RETRY_MS;
    listener(event);
  }

  function again(): void {
    if (closed || timer) return;
    timer = setTimeout(() => {
      timer = undefined;
      open();
    }, pauseMs);
    pauseMs = Math.min(pauseMs * 2, 1_000);
  }

  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    current?.destroy();
  };
}
