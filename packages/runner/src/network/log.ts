/** The part of a pino logger that networking uses. */
export interface NetworkLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const SILENT: NetworkLog = { info: () => undefined, warn: () => undefined };
