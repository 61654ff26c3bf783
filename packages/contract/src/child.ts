import type { PaddockConfig } from './config.ts';

/**
 * First act of a child process: reads the one config line from stdin.
 * @param onParentGone called once when the parent's end of the pipe closes (parent stopped or killed)
 */
export function readConfig(onParentGone: () => void): Promise<PaddockConfig> {
  return new Promise((resolve, reject) => {
    let text = '';
    let done = false;
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (chunk: string) => {
      if (done) return;
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      done = true;
      try {
        resolve(JSON.parse(text.slice(0, end)) as PaddockConfig);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    process.stdin.on('end', () => {
      if (done) onParentGone();
      else reject(new Error('This program is started by `paddock up`, which passes its settings on stdin.'));
    });
  });
}
