// Why a message does not reach a subscriber. Not for: counting (outbox.ts), the words for people (gateway/dropped-log.ts).

/**
 * There is no room for more, while it is connected ('slow') or away ('away'); it is not in the log any more ('gone'); the client takes no packet of that
 * size ('too-large').
 */
export type DropReason = 'slow' | 'away' | 'gone' | 'too-large'
