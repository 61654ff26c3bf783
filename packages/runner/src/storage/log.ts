/** The part of a pino logger that storage and images use. */
export interface StorageLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
