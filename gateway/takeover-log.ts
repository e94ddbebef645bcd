// What is said when a client connects with an id that is connected already. Two devices with one id do it to each other without end, each time
// with other words: each id is told once a minute.

import type { Takeover } from '../adapters/mqtt/mqtt-broker.ts'
import type { Log } from './log.ts'
import { oncePerMinute } from './once-per-minute.ts'

export function takeoverLog(log: Log, nowMs?: () => number): (takeover: Takeover) => void {
  const isDue = oncePerMinute(nowMs)
  return ({ clientId, remoteAddress, previousAddress }) => {
    const isOther = remoteAddress !== previousAddress
    const untold = isDue(`${clientId} ${isOther}`)
    if (untold === null) return
    const again = untold === 0 ? '' : `; ${untold} more times since that was told last`
    const words = `client ${clientId} took over: ${remoteAddress} is connected with this id now, ${isOther ? previousAddress : 'its connection before'} was closed${again}`
    log(isOther ? 'warn' : 'info', words, { clientId, remoteAddress, previousAddress })
  }
}
