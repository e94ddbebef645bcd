// Assertions that stay on in production: a broken invariant is a bug, stops every acknowledgement and ends the process.
// Not for: anything a peer, a disk or an operator can cause (that is a WadiError).

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** @throws AssertionError when `condition` is false: a bug of ours, never an operating fault. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
