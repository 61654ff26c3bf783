import { request } from 'node:http';
import { createInterface } from 'node:readline';
import type { RunnerEvent, RunnerImage } from '@paddock/contract';

/**
 * Follows the runner's images: what it has at the moment, then every change. Ends when the runner does; the caller
 * watches again after the next start.
 */
export function watchImages(socketPath: string, onImage: (image: RunnerImage) => void): void {
  const events = request({ socketPath, path: '/v1/events' }, (response) => {
    const lines = createInterface({ input: response });
    lines.on('error', () => {}); // the runner ended
    lines.on('line', (line) => {
      const event = JSON.parse(line) as RunnerEvent;
      if (event.type === 'image') onImage(event.image);
      // Asked after the stream is open: a change in between is told twice, never missed.
      else if (event.type === 'hello') listImages(socketPath, onImage);
    });
  });
  events.on('error', () => {});
  events.end();
}

function listImages(socketPath: string, onImage: (image: RunnerImage) => void): void {
  const list = request({ socketPath, path: '/v1/images' }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('end', () => {
      for (const image of (JSON.parse(text) as { images: RunnerImage[] }).images) onImage(image);
    });
    response.on('error', () => {});
  });
  list.on('error', () => {});
  list.end();
}
