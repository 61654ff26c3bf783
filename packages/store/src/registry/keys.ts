import type { Digest } from './names.ts';

/**
 * Where things lie in the blob store. Content exists once, whoever pushed it; a repository has a *link* for each blob it may
 * read, and each link is mirrored by a *backlink* below the blob, so that "is it still used?" is one listing. A backlink is
 * written before its link and removed after it: one without the other only keeps content longer.
 *
 *     content/sha256/ab/abcd…                       bytes
 *     links/sha256/abcd…/<repository>               backlink, empty
 *     repositories/<repository>/blobs/sha256/abcd…  link, empty
 *     repositories/<repository>/manifests/sha256/…  bytes; content type is the media type
 *     repositories/<repository>/tags/<lower-case tag>!<tag>   empty; metadata.digest
 *     repositories/<repository>/referrers/sha256/<subject>/sha256:<manifest>   descriptor as JSON
 *     uploads/<id>/session                          empty; metadata.repository
 *     uploads/<id>/parts/<offset, 20 digits>        bytes
 *
 * A repository's name is one segment: its slashes are colons, which no name holds. Tags are listed without regard to case, which their
 * keys' order gives: `!` comes before everything a tag may hold.
 */
export class Keys {
  readonly root: string;
  constructor(root: string) {
    this.root = root;
  }

  content({ algorithm, hex }: Digest): string {
    return `${this.root}content/${algorithm}/${hex.slice(0, 2)}/${hex}`;
  }

  backlinks({ algorithm, hex }: Digest): string {
    return `${this.root}links/${algorithm}/${hex}/`;
  }

  backlink(digest: Digest, repository: string): string {
    return this.backlinks(digest) + segment(repository);
  }

  repositories(): string {
    return `${this.root}repositories/`;
  }

  repository(name: string): string {
    return `${this.repositories()}${segment(name)}/`;
  }

  links(repository: string): string {
    return `${this.repository(repository)}blobs/`;
  }

  link(repository: string, { algorithm, hex }: Digest): string {
    return `${this.links(repository)}${algorithm}/${hex}`;
  }

  manifests(repository: string): string {
    return `${this.repository(repository)}manifests/`;
  }

  manifest(repository: string, { algorithm, hex }: Digest): string {
    return `${this.manifests(repository)}${algorithm}/${hex}`;
  }

  tags(repository: string): string {
    return `${this.repository(repository)}tags/`;
  }

  tag(repository: string, tag: string): string {
    return `${this.tags(repository)}${tag.toLowerCase()}!${tag}`;
  }

  /** @param key of `tag` */
  tagOf(repository: string, key: string): string {
    return key.slice(key.indexOf('!', this.tags(repository).length) + 1);
  }

  referrers(repository: string, subject: Digest): string {
    return `${this.repository(repository)}referrers/${subject.algorithm}/${subject.hex}/`;
  }

  uploads(): string {
    return `${this.root}uploads/`;
  }

  upload(id: string): string {
    return `${this.uploads()}${id}/`;
  }

  session(id: string): string {
    return `${this.upload(id)}session`;
  }

  parts(id: string): string {
    return `${this.upload(id)}parts/`;
  }

  part(id: string, offset: number): string {
    return this.parts(id) + String(offset).padStart(20, '0');
  }
}

export function segment(repository: string): string {
  return repository.replaceAll('/', ':');
}

export function nameOfSegment(text: string): string {
  return text.replaceAll(':', '/');
}
