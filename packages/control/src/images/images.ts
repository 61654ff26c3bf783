import type { Announcement, Announcer } from '../events/index.ts';
import type { Database, Queryable } from '../db/index.ts';
import { buildHash, nameOfReference, newImageName, type BuildRequest, type Image } from './image.ts';
import type { ImageTrigger } from './states.ts';
import type { PublicationPatch, PublicationTrigger } from './publication.ts';
import { lockSleeping, movePublication, offloadSleeping, reuseImage } from './publication-store.ts';
import { dropUnused, forgetHash, imageByName, insertBuild, lockUnused, moveImage, pendingOfSandbox, sharedBuild, wantImage, type ImagePatch } from './store.ts';

/** wire: declarative images are reused for a day. */
export const SHARE_HOURS = 24;
/** Between the row of a build and that of the sandbox that asked for it lie milliseconds. */
export const GRACE_SECONDS = 5;

/** Changes what depends on an image, in the transaction of the image's own change. @returns events to publish after the commit */
export type ImageFollower = (tx: Queryable, image: Image) => Promise<readonly Announcement[]>;

/**
 * What the control plane wants of the runner's image store. Whoever needs an image asks for it here and refers to it by name;
 * the reconciler has it made, and drops it when nothing refers to it any more.
 */
export class Images {
  readonly #db: Database;
  readonly #announcer: Announcer;
  readonly #changed = new Set<(image: Image) => void>();
  #follower: ImageFollower = () => Promise.resolve([]);
  #wake: (name: string) => void = () => {};
  #collect: () => void = () => {};

  constructor(db: Database, announcer: Announcer) {
    this.#db = db;
    this.#announcer = announcer;
  }

  useFollower(follower: ImageFollower): void {
    this.#follower = follower;
  }

  useReconciler(reconciler: { wake(name: string): void; collect(): void }): void {
    this.#wake = (name) => reconciler.wake(name);
    this.#collect = () => reconciler.collect();
  }

  get(name: string): Promise<Image | null> {
    return this.#db.one(imageByName(name));
  }

  /** What a registry has under a digest. Call `wake` after the commit. @param reference `host/repository@sha256:<hex>` */
  async wantFromRegistry(tx: Queryable, organizationId: string, reference: string): Promise<Image> {
    return (await tx.one(wantImage(nameOfReference(reference), { kind: 'registry', reference }, organizationId)))!;
  }

  /** The organization's build of that hash if one is under way or not older than a day, else a new one. Call `wake` after the commit. */
  async wantBuild(tx: Queryable, organizationId: string, build: BuildRequest): Promise<Image> {
    const hash = buildHash(build);
    for (;;) {
      const shared = await tx.one(sharedBuild(organizationId, hash, SHARE_HOURS));
      if (shared && !(shared.expired && shared.state === 'ready')) {
        return (await tx.one(reuseImage(shared.name)))!;
      }
      await tx.run(forgetHash(organizationId, hash));
      const made = await tx.one(insertBuild(newImageName('build'), { kind: 'build', ...build }, organizationId, hash));
      if (made) return made;
    }
  }

  /** The disk of a sandbox as it is when the runner comes to it. Call `wake` after the commit. */
  async wantFromSandbox(tx: Queryable, organizationId: string, sandboxId: string): Promise<Image> {
    return (await tx.one(wantImage(newImageName('sandbox'), { kind: 'sandbox', sandboxId }, organizationId)))!;
  }

  /** One that was kept for whoever asks; null: it is gone or about to go. Call `wake` after the commit. */
  reuse(tx: Queryable, name: string): Promise<Image | null> {
    return tx.one(reuseImage(name));
  }

  /** The image that is being made of the sandbox at the moment. */
  pendingOfSandbox(sandboxId: string): Promise<Image | null> {
    return this.#db.one(pendingOfSandbox(sandboxId));
  }

  /** Something wants the image: have it made. Returns at once. */
  wake(name: string): void {
    this.#wake(name);
  }

  /** Something that referred to images is gone. Returns at once. */
  collect(): void {
    this.#collect();
  }

  /** After the commit of every change of an image's state. @returns unsubscribe */
  onChanged(listener: (image: Image) => void): () => void {
    this.#changed.add(listener);
    return () => void this.#changed.delete(listener);
  }

  /** After the commit that made an image ready or failed. @returns unsubscribe */
  onSettled(listener: (image: Image) => void): () => void {
    return this.onChanged((image) => {
      if (image.state === 'ready' || image.state === 'failed') listener(image);
    });
  }

  /** Makes a move of the table, and all that depends on it. @returns null when the row is in no state the move starts from */
  async move(name: string, trigger: ImageTrigger, patch: ImagePatch = {}): Promise<Image | null> {
    const done = await this.#db.tx(async (tx) => {
      const image = await tx.one(moveImage(name, trigger, patch));
      return image && { image, announcements: await this.#follower(tx, image) };
    });
    if (!done) return null;
    this.#announcer.publish(done.announcements);
    for (const listener of this.#changed) listener(done.image);
    return done.image;
  }

  /** As `move`, of the image's place in the registry. Nothing else depends on that. */
  async movePublication(name: string, trigger: PublicationTrigger, patch: PublicationPatch = {}): Promise<Image | null> {
    const image = await this.#db.one(movePublication(name, trigger, patch));
    if (image) for (const listener of this.#changed) listener(image);
    return image;
  }

  /** @returns those whose copy on the runner is free to go; they are `leaving` */
  async offloadUnused(): Promise<readonly Image[]> {
    return this.#db.tx(async (tx) => {
      const sleeping = await tx.query(lockSleeping);
      return sleeping.length === 0 ? [] : tx.query(offloadSleeping(sleeping.map(({ name }) => name)));
    });
  }

  /** @returns what nothing refers to any more; it is `removing` */
  async dropUnused(): Promise<readonly Image[]> {
    return this.#db.tx(async (tx) => {
      const unused = await tx.query(lockUnused(GRACE_SECONDS, SHARE_HOURS));
      return unused.length === 0 ? [] : tx.query(dropUnused(unused.map(({ name }) => name), GRACE_SECONDS, SHARE_HOURS));
    });
  }
}
