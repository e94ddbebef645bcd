// The one error class of Wadi: what happened, what was kept, what to do. A bug is an AssertionError, not a WadiError.

import { type ErrorCode, errorCatalogue } from './error-catalogue.ts'

export interface ErrorStory {
  /** Subject, file or partition, offset or byte, numbers with units. */
  happened: string
  /** So that nobody has to guess about data. */
  kept: string
  /** "Nothing to do" is a good answer when it is true. */
  next: string
  /** The same for machines: logged as fields, never parsed out of the message. */
  facts?: Record<string, string | number>
  cause?: unknown
}

export class WadiError extends Error {
  override readonly name = 'WadiError'
  readonly code: ErrorCode
  readonly story: Readonly<ErrorStory>
  readonly facts: Readonly<Record<string, string | number>>

  constructor(code: ErrorCode, story: ErrorStory) {
    super(`${code}: ${story.happened} ${story.kept} ${story.next}`, { cause: story.cause })
    this.code = code
    this.story = story
    this.facts = Object.freeze({ ...story.facts })
  }

  /** True when the same call can succeed later without anybody changing anything. */
  get retriable(): boolean {
    return errorCatalogue[this.code].retriable
  }
}
