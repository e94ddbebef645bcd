// What a peer can do wrong on the wire. The connection it came from cannot be trusted any more and is closed; nothing else is.

/**
 * truncated  the message ends inside a field
 * length     a length or count cannot be true for the bytes that follow
 * value      a value outside its type: a null where none may be, an integer too large to count with
 * version    an API or version that this codec does not know
 * frame      the length in front of a message is negative or above the bound
 */
export type ProtocolErrorReason = 'truncated' | 'length' | 'value' | 'version' | 'frame'

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly reason: ProtocolErrorReason

  constructor(reason: ProtocolErrorReason, message: string) {
    super(message)
    this.reason = reason
  }
}
