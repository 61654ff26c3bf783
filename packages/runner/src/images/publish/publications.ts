/** Publications in progress, and how the latest of each image ended. Nothing of them outlives the runner: who wants one asks again, and what was sent is not sent again. */
import type { PublicationRequest, RunnerEvent, RunnerPublication } from '@paddock/contract';
import { Gate } from '../../lifecycle/lanes.ts';
import { RegistryError, type RegistrySettings } from '../../registry-client/index.ts';
import { RunnerError } from '../../runner-error.ts';
import type { StorageLog } from '../../storage/index.ts';
import { MakeFailed } from '../maker.ts';
import type { Notes } from './notes.ts';
import { publishImage, type LentImage } from './publish-image.ts';

export interface PublicationsInput {
  readonly images: {
    readonly notes: Notes;
    lend<T>(name: string, signal: AbortSignal, work: (image: LentImage, signal: AbortSignal) => Promise<T>): Promise<T>;
  };
  readonly settings: RegistrySettings;
  readonly publish: (event: RunnerEvent) => void;
  readonly log: StorageLog;
}

/** It is nobody's hurry, and each keeps a processor and the disk busy. */
const AT_ONCE = 1;

/** Results are asked for at once, or after a restart of the control plane. Later the registry is asked again. */
const KEPT_MS = 600_000;

const ENDED = new MakeFailed('The publication was given up', { transient: true });
const STOPPING = new MakeFailed('The runner stopped while the image was being published', { transient: true });

interface Publication {
  status: RunnerPublication;
  readonly repository: string;
  readonly abort: AbortController;
  /** Never rejects. */
  done: Promise<void>;
}

export class Publications {
  readonly #input: PublicationsInput;
  readonly #gate = new Gate(AT_ONCE);
  readonly #latest = new Map<string, Publication>();

  constructor(input: PublicationsInput) {
    this.#input = input;
  }

  /** Has the image published unless it is being, or was just now. A failed publication is tried again. */
  put(name: string, request: PublicationRequest): RunnerPublication {
    const known = this.#latest.get(name);
    if (known !== undefined && known.repository === request.repository && known.status.state !== 'failed') return known.status;
    const publication: Publication = { status: { name, state: 'running', doneBytes: 0 }, repository: request.repository, abort: new AbortController(), done: Promise.resolve() };
    this.#latest.set(name, publication);
    publication.done = Promise.resolve(known?.done).then(() => this.#run(publication, request));
    known?.abort.abort(ENDED);
    return publication.status;
  }

  /** The image is made anew: how a publication of its name ended says nothing any more. */
  forget(name: string): void {
    if (this.#latest.get(name)?.status.state !== 'running') this.#latest.delete(name);
  }

  /** Ends it. Returns when nothing of it goes on. */
  async remove(name: string): Promise<void> {
    const publication = this.#latest.get(name);
    if (publication === undefined) return;
    publication.abort.abort(ENDED);
    await publication.done;
    if (this.#latest.get(name) === publication) this.#latest.delete(name);
  }

  async close(): Promise<void> {
    const all = [...this.#latest.values()];
    for (const { abort } of all) abort.abort(STOPPING);
    await Promise.all(all.map(({ done }) => done));
  }

  async #run(publication: Publication, { repository, auth }: PublicationRequest): Promise<void> {
    const { images, settings, publish, log } = this.#input;
    const { name } = publication.status;
    const { signal } = publication.abort;
    const since = performance.now();
    try {
      const published = await this.#gate.run(() => images.lend(name, signal, (image, lent) => publishImage({
        image, repository, auth, settings, notes: images.notes, signal: lent,
        onProgress: (doneBytes) => { publication.status = { ...publication.status, doneBytes }; },
      })));
      publication.status = { name, state: 'done', doneBytes: published.sizeBytes, published: { reference: published.reference, sizeBytes: published.sizeBytes } };
      log.info({ image: name, ...published, ms: Math.round(performance.now() - since) }, 'image published');
      if (published.sentBytes > 0) (await import('../../archives/garbage.ts')).afterTransfer();
    } catch (error) {
      const { message } = error as Error;
      const transient = isPassing(error);
      publication.status = { name, state: 'failed', doneBytes: 0, reason: message, transient };
      const unexpected = error instanceof MakeFailed || error instanceof RegistryError || error instanceof RunnerError ? {} : { err: error };
      log.warn({ image: name, reason: message, transient, ...unexpected }, 'image could not be published');
    }
    publish({ type: 'publication', publication: publication.status });
    setTimeout(() => {
      if (this.#latest.get(name) === publication) this.#latest.delete(name);
    }, KEPT_MS).unref();
  }
}

/** Only files that no image can have stay as they are; everything else is worth asking again. */
function isPassing(error: unknown): boolean {
  return !(error instanceof MakeFailed) || error.transient;
}
