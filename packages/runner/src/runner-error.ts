import type { RunnerErrorCode } from '@paddock/contract';

/** A failure with a code of the contract: the server turns it into a reply, everything else passes it on. */
export class RunnerError extends Error {
  readonly code: RunnerErrorCode;
  constructor(code: RunnerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
