import os from 'node:os';

/** The user's home. */
export const homeDir: string = process.env['HOME'] || os.homedir();

/**
 * Where every relative path of the API begins: the directory the toolbox was started in, or home when the image names none.
 * Fixed at start; the process never changes directory.
 */
export const workDir: string = process.env['PADDOCK_HOME_AS_WORKDIR'] === '1' ? homeDir : process.cwd();
