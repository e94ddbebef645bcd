// A log with much state: 50,000 packet ids of QoS 2 and 10,000 committed offsets. Then checkpoints, one after another, while a timer
// says how long the event loop did not turn: { pausesMs } of each checkpoint, and the same time without any.
// Arguments: directory, count of checkpoints.

import '../adapters/mqtt/qos2-memory.ts' // the areas of the keys
import '../runtime/broker/committed-offsets.ts'
import type { StateChange } from '../runtime/log/contract.ts'
import { openStore } from './open-store.ts'
import { tell } from './worker.ts'

const QOS2_IDS = 50_000
const GROUP_OFFSETS = 10_000
const CHANGES_PER_COMMIT = 500
const QUIET_MS = 100

const [, , directory = '', count = '20'] = process.argv
const store = await openStore(directory)
const encoder = new TextEncoder()
const changes: StateChange[] = [
  ...Array.from({ length: QOS2_IDS }, (_, index) => ({
    key: `mqtt.qos2/device-${index % 500}/${index}`,
    value: new Uint8Array(4).fill(index)
  })),
  ...Array.from({ length: GROUP_OFFSETS }, (_, index) => ({
    key: `offsets/group-${index % 100}/1/${index}`,
    value: encoder.encode(JSON.stringify({ v: 1, offset: index * 1_000, epoch: 0, metadata: '', time: 1_700_000_000_000 }))
  }))
]
for (let at = 0; at < changes.length; at += CHANGES_PER_COMMIT) await store.commit([], changes.slice(at, at + CHANGES_PER_COMMIT))
const [partition] = (await store.createTopic('readings')).partitions
if (!partition) throw new Error('no partition')

/** Longest time between two turns while `work` runs, milliseconds. */
async function longestPauseMs(work: () => Promise<unknown>): Promise<number> {
  let isDone = false
  let longestMs = 0
  const working = work().finally(() => {
    isDone = true
  })
  let beforeMs = performance.now()
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve))
    const nowMs = performance.now()
    longestMs = Math.max(longestMs, nowMs - beforeMs)
    beforeMs = nowMs
  }
  await working
  return longestMs
}

const pausesMs: number[] = []
const quietMs: number[] = []
for (let round = 0; round < Number(count); round++) {
  quietMs.push(await longestPauseMs(() => new Promise((resolve) => setTimeout(resolve, QUIET_MS))))
  await store.commit(
    [{ partition, content: { record: { timestampMs: 1, key: null, value: encoder.encode(`${round}`), headers: [] } } }],
    []
  )
  pausesMs.push(await longestPauseMs(() => store.flush()))
}
tell({ pausesMs, quietMs })
process.on('disconnect', () => process.exit(0))
setInterval(() => undefined, 60_000)
