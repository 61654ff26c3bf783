import { once } from 'node:events';
import { type Exchange, onGone } from './exchange.ts';

/** Text gathered before it is written: one packet's worth of small items costs one write. */
const GATHER = 64 * 1024;

/** Sends a JSON list of unknown length item by item. The status goes out with the first full packet or at the end. */
export class JsonStream {
  readonly #exchange: Exchange;
  readonly #close: string;
  #text: string;
  #first = true;
  #gone = false;

  /** @param open what stands before the first item @param close what stands after the last */
  constructor(exchange: Exchange, open: string, close: string) {
    this.#exchange = exchange;
    this.#text = open;
    this.#close = close;
    onGone(exchange, () => (this.#gone = true));
  }

  /** The client has gone away: producing more is of no use. */
  get gone(): boolean {
    return this.#gone;
  }

  async add(item: unknown): Promise<void> {
    this.#text += (this.#first ? '' : ',') + JSON.stringify(item);
    this.#first = false;
    if (this.#text.length < GATHER || this.#gone) return;
    this.#head();
    const { response } = this.#exchange;
    const text = this.#text;
    this.#text = '';
    if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }

  end(): void {
    if (this.#gone) return;
    this.#head();
    this.#exchange.response.end(this.#text + this.#close);
  }

  #head(): void {
    const { response } = this.#exchange;
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8' });
  }
}
