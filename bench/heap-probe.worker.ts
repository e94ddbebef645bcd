// Loaded into the gateway in front of everything else (node --import, --expose-gc): answers each message with its memory after a collection.

import { setTimeout as sleep } from 'node:timers/promises'
import { tell } from './worker.ts'

const SETTLE_MS = 200

process.on('message', async () => {
  for (let times = 0; times < 3; times++) {
    globalThis.gc?.()
    await sleep(SETTLE_MS)
  }
  const { heapUsed, rss } = process.memoryUsage()
  tell({ heapBytes: heapUsed, residentBytes: rss })
})
process.channel?.unref()
