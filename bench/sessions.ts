// Question: what do sessions and their queues cost that outlive the gateway?
// Canonical load: 10,000 absent sessions of MQTT 3.1.1 with a subscription each, 100 messages of QoS 1 and 100 B wait for each; `wadi run` is killed
// (SIGKILL) and started again. From the start of the process to the first message that a session is sent (its client is there all the time), and resident
// memory then, after a collection.
// Builds whose sessions do not survive are not asked.

import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { GatewayProcess } from './gateway-process.ts'
import { type Bench, median } from './harness.ts'
import { connectPacket, PacketCounter } from './mqtt-packets.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

const MIB = 2 ** 20
const SECONDS_MAX = 2
const RESIDENT_MIB_MAX = 128

interface Restart {
  readonly seconds: number
  readonly residentMib: number
}

/** A client of one of the sessions; what it is sent is not acknowledged. */
function firstMessage(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const counter = new PacketCounter((bytes, at) => {
      if (bytes[at] === 0x20 && bytes[at + 2] !== 1) reject(new Error('the session is not there'))
      if ((bytes[at] as number) >> 4 !== 3) return
      resolve()
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the gateway closed the connection')))
    socket.once('connect', () => socket.write(connectPacket('device-00000', { isClean: false })))
    socket.on('data', (chunk) => counter.push(chunk))
  })
}

async function measure(sessions: number, each: number): Promise<Restart> {
  return withDirectory(async (scratch) => {
    const directory = join(scratch, 'gateway')
    mkdirSync(directory)
    let last = await GatewayProcess.start({ directory, isProbed: true })
    try {
      const idle = new BenchWorker('mqtt-idle.worker.js', [last.port, sessions, 4, 'offline'].map(String))
      await idle.next().finally(() => idle.kill())
      const filler = new BenchWorker('mqtt-queue.worker.js', [last.port, sessions, each].map(String))
      await filler.next().finally(() => filler.kill())
      await last.kill()
      const startMs = performance.now()
      last = await GatewayProcess.start({ directory, isProbed: true })
      await firstMessage(last.port)
      const seconds = (performance.now() - startMs) / 1_000
      const { residentBytes } = await last.memoryAfterCollection()
      return { seconds, residentMib: residentBytes / MIB }
    } finally {
      await last.kill()
    }
  })
}

export const sessionsBench: Bench = {
  name: 'sessions',
  question: 'MQTT sessions with queues: start after SIGKILL, memory',
  async run({ isSmoke, figure }) {
    const [sessions, each, rounds] = isSmoke ? [20, 5, 1] : [10_000, 100, 3]
    const samples: Restart[] = []
    for (let round = 0; round < rounds; round++) samples.push(await measure(sessions, each))
    const parameters = { sessions, messagesEach: each, rounds }
    const seconds = median(samples.map((sample) => sample.seconds))
    figure({
      what: 'from the start of the process to the first message, after SIGKILL',
      parameters,
      unit: 's',
      values: { wadi: seconds },
      target: { text: `<= ${SECONDS_MAX} s`, isMet: seconds <= SECONDS_MAX }
    })
    const residentMib = median(samples.map((sample) => sample.residentMib))
    figure({
      what: 'resident then',
      parameters,
      unit: 'MiB',
      values: { wadi: residentMib },
      target: { text: `<= ${RESIDENT_MIB_MAX} MiB`, isMet: residentMib <= RESIDENT_MIB_MAX }
    })
  }
}
