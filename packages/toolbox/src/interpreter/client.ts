import { StringDecoder } from 'node:string_decoder';
import type { Outlet } from '../http/outlet.ts';
import type { PythonError } from './worker.ts';

/** Wire: every frame has these five keys, empty when unused. */
interface Frame {
  readonly type: 'stdout' | 'stderr' | 'error' | 'control';
  readonly text?: string;
  readonly name?: string;
  readonly value?: string;
  readonly traceback?: string;
}

/** The client of one run. Whether it is still there is no concern of the run: without it everything said is dropped. */
export class RunClient {
  readonly #outlet: Outlet;
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** It takes output more slowly than the source prints. */
  get behind(): boolean {
    return this.#outlet.behind;
  }

  output(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    const text = this.#decoders[stream].write(chunk);
    if (text !== '') this.#send({ type: stream, text });
  }

  /** Half a character at the end of the output is one that never became whole. */
  endOutput(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const text = this.#decoders[stream].end();
      if (text !== '') this.#send({ type: stream, text });
    }
  }

  error({ name, value, traceback }: PythonError): void {
    this.#send({ type: 'error', name, value, traceback });
  }

  control(text: 'completed' | 'interrupted'): void {
    this.#send({ type: 'control', text });
  }

  close(code: number, reason = ''): void {
    this.#outlet.close(code, reason);
  }

  #send({ type, text = '', name = '', value = '', traceback = '' }: Frame): void {
    this.#outlet.send(JSON.stringify({ type, text, name, value, traceback }));
  }
}
