/** Everybody who listens to `GET /v1/events`. */
import type { ServerResponse } from 'node:http';
import type { RunnerEvent } from '@paddock/contract';

/** A listener that lags by more than this many bytes is cut off: it connects again and lists what exists. */
const MAX_LAG_BYTES = 1_048_576;

export class EventStreams {
  readonly #streams = new Set<ServerResponse>();

  add(response: ServerResponse, hello: RunnerEvent): void {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    this.#streams.add(response);
    response.once('close', () => this.#streams.delete(response));
    response.write(line(hello));
  }

  readonly publish = (event: RunnerEvent): void => {
    const text = line(event);
    for (const stream of this.#streams) {
      if (stream.writableLength > MAX_LAG_BYTES) stream.destroy();
      else stream.write(text);
    }
  };

  close(): void {
    for (const stream of this.#streams) stream.end();
  }
}

function line(event: RunnerEvent): string {
  return `${JSON.stringify(event)}\n`;
}
