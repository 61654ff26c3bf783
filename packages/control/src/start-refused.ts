/** The server cannot start with these settings; the message says what the operator should change. Trying again will not help. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}
