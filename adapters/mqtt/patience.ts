// Time limits for a peer run while we listen to it, not while we hold its bytes back: on a slow disk the brake leaves PINGREQ (or
// CONNECT) in the socket, and a limit that ran on would close every connection at once, to come back together. aedes' two timers are
// replaced by timers that begin anew when they end during a hold. A peer that is really gone is found one interval after the hold.
// Not for: peers that do not take what is sent to them (drainTimeoutMs of aedes).

/** The part of aedes' client that is changed here. */
interface TimedClient {
  readonly closed: boolean
  /** Packets that were read and are not done; while there are any, nothing more is read. */
  readonly _parsingBatch: number
  readonly _keepaliveInterval: number
  _keepaliveTimer: NodeJS.Timeout | null
  _connectTimer: NodeJS.Timeout | null
  emit(name: 'error', error: Error): unknown
}

/** `isHeld`: the brake keeps bytes of this connection in its socket. */
export function waitForConnect(client: object, timeoutMs: number, isHeld: () => boolean): void {
  const timed = client as TimedClient
  if (timed._connectTimer === null) return
  clearTimeout(timed._connectTimer)
  timed._connectTimer = setTimeout(() => {
    if (isHeld()) timed._connectTimer?.refresh()
    else timed.emit('error', new Error('connect did not arrive in time'))
  }, timeoutMs)
}

/** Once the client is connected and its keep-alive is known. */
export function waitForKeepAlive(client: object, isHeld: () => boolean): void {
  const timed = client as TimedClient
  if (timed._keepaliveTimer === null || timed.closed) return
  clearTimeout(timed._keepaliveTimer)
  timed._keepaliveTimer = setTimeout(() => {
    if (isHeld() || timed._parsingBatch > 0) timed._keepaliveTimer?.refresh()
    else timed.emit('error', new Error('keep alive timeout'))
  }, timed._keepaliveInterval)
}
