// Waiting for a condition that nothing announces. Not for: what has an event or a callback.

/** Looks every five milliseconds; resolves when `isTrue` says so, at the latest after `waitMsMax`. */
export function waitUntil(isTrue: () => boolean, waitMsMax: number): Promise<void> {
  return new Promise((resolve) => {
    const startedMs = performance.now()
    const look = (): void => {
      if (isTrue() || performance.now() - startedMs > waitMsMax) resolve()
      else setTimeout(look, 5)
    }
    look()
  })
}
