// Question: how fast are PUBLISHes taken in by the fast lane, each synced before its PUBACK, against brokers that sync nothing, or what they call durable?
// Canonical load: 10 connections, 100-byte payloads, QoS 1, 200 unacknowledged each, one topic for each connection, from a process of its own; other
// numbers of connections, sizes, topics and QoS 0 beside it. `wadi run` on an empty directory against Mosquitto with its defaults (nothing is synced), with
// autosave_on_changes, and the NATS server with MQTT over JetStream (synced every two minutes). Fresh processes for each question; rounds alternate.
// All share this machine, the load too: compare the ratio, not the figures.

import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { ownBuild } from './build.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, type BenchContext, median } from './harness.ts'
import { type Load, type LoadSample, measureLoad } from './mqtt-load.ts'
import { connectPacket, DISCONNECT, PacketCounter, subscribePacket } from './mqtt-packets.ts'
import { withDirectory } from './open-store.ts'
import { isInstalled, type OtherBrokerKind, startOtherBroker } from './other-brokers.ts'

interface Question {
  readonly load: Partial<Load>
  readonly against: OtherBrokerKind
  readonly ratioMin: number
  /** Decimal megabytes, at the end of the run. */
  readonly residentMbMax?: number
  readonly cpuRatioMax?: number
}

const SUBACK = 0x90
const CANONICAL = { connections: 10, window: 200, payloadBytes: 100, qos: 1, topics: 1 } as const satisfies Load
const QUESTIONS: readonly Question[] = [
  { load: { connections: 1 }, against: 'mosquitto', ratioMin: 2 },
  { load: {}, against: 'mosquitto', ratioMin: 5.5, residentMbMax: 100, cpuRatioMax: 0.3 },
  { load: { connections: 100, window: 50 }, against: 'mosquitto', ratioMin: 5, residentMbMax: 110 },
  { load: { connections: 1_000, window: 20 }, against: 'mosquitto', ratioMin: 3.5, residentMbMax: 135 },
  { load: { connections: 1, qos: 0 }, against: 'mosquitto', ratioMin: 2.5 },
  { load: { qos: 0 }, against: 'mosquitto', ratioMin: 2.2 },
  { load: { connections: 100, qos: 0 }, against: 'mosquitto', ratioMin: 2.2 },
  { load: { payloadBytes: 20 }, against: 'mosquitto', ratioMin: 7 },
  { load: { payloadBytes: 1_024 }, against: 'mosquitto', ratioMin: 1.8 },
  { load: { topics: 1_000, window: 500 }, against: 'mosquitto', ratioMin: 5.5 },
  { load: { topics: 3_000, window: 500 }, against: 'mosquitto', ratioMin: 1 },
  { load: {}, against: 'nats', ratioMin: 6 },
  { load: {}, against: 'mosquitto, durable', ratioMin: 200 }
]

/** Without somebody to keep messages for, Mosquitto has nothing to make durable. */
async function leaveSession(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(Buffer.concat([connectPacket('absent', { isClean: false }), subscribePacket('bench/#', { qos: 1 })]))
  await new Promise<void>((resolve) => {
    const answers = new PacketCounter((bytes, at) => {
      if (bytes[at] === SUBACK) resolve()
    })
    socket.on('data', (chunk: Buffer) => answers.push(chunk))
  })
  socket.end(DISCONNECT)
}

async function ask(
  { isSmoke, figure }: BenchContext,
  { load: part, against, ratioMin, residentMbMax, cpuRatioMax }: Question
): Promise<void> {
  const load = { ...CANONICAL, ...part, ...(isSmoke && { connections: 2, window: 10, topics: 1 }) }
  const rounds = isSmoke ? 1 : 3
  // Of QoS 0 the kernels' buffers take much before the broker is asked for anything.
  const time = isSmoke ? { warmMs: 20, measureMs: 100 } : { warmMs: load.qos === 0 ? 3_000 : 1_000, measureMs: 3_000 }
  const [ours, theirs]: [LoadSample[], LoadSample[]] = [[], []]
  await withDirectory(async (scratch) => {
    mkdirSync(join(scratch, 'wadi'))
    const gateway = await GatewayProcess.start({ directory: join(scratch, 'wadi'), build: ownBuild })
    const other = isInstalled(against) ? await startOtherBroker(against, join(scratch, 'other')) : null
    if (other && against === 'mosquitto, durable') await leaveSession(other.port)
    try {
      for (let round = 0; round < rounds; round++) {
        ours.push(await measureLoad(gateway, load, time))
        if (other) theirs.push(await measureLoad(other, load, time))
      }
    } finally {
      await gateway.kill()
      await other?.kill()
    }
  })
  const of = (samples: readonly LoadSample[], field: keyof LoadSample): number => median(samples.map((sample) => sample[field]))
  const parameters = { ...load, rounds }
  const ratioOf = (field: keyof LoadSample): Record<string, number> => ({ [`wadi / ${against}`]: of(ours, field) / of(theirs, field) })
  const isThere = theirs.length > 0
  const values = (field: keyof LoadSample, divisor = 1): Record<string, number> => ({
    wadi: of(ours, field) / divisor,
    ...(isThere && { [against]: of(theirs, field) / divisor })
  })
  const ratio = of(ours, 'eventsPerSecond') / of(theirs, 'eventsPerSecond')
  figure({
    what: isThere ? `QoS ${load.qos} against ${against}` : `QoS ${load.qos}; ${against} is not installed`,
    ...{ parameters, unit: 'events/s', values: values('eventsPerSecond') },
    ...(isThere && { ratios: ratioOf('eventsPerSecond'), target: { text: `>= ${ratioMin} x`, isMet: ratio >= ratioMin } })
  })
  if (residentMbMax !== undefined) {
    const residentMb = of(ours, 'residentBytes') / 1e6
    const target = { text: `<= ${residentMbMax} MB`, isMet: residentMb <= residentMbMax }
    figure({ what: 'resident at the end of a run', parameters, unit: 'MB', values: values('residentBytes', 1e6), target })
  }
  if (cpuRatioMax !== undefined && isThere) {
    const cpuRatio = of(ours, 'cpuUsPerEvent') / of(theirs, 'cpuUsPerEvent')
    const target = { text: `<= ${cpuRatioMax} x`, isMet: cpuRatio <= cpuRatioMax }
    figure({
      what: 'CPU time, all threads',
      parameters,
      unit: 'us/event',
      values: values('cpuUsPerEvent'),
      ratios: ratioOf('cpuUsPerEvent'),
      target
    })
  }
}

export const laneBench: Bench = {
  name: 'lane',
  question: 'events over MQTT, each synced before its PUBACK, against brokers that sync nothing',
  async run(context) {
    for (const question of context.isSmoke ? QUESTIONS.slice(0, 1) : QUESTIONS) await ask(context, question)
  }
}
