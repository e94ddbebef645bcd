// Question: what does a producer get over one connection when a sync takes its time?
// Canonical load: an idempotent producer (the default of Kafka's clients), one connection, five Produce requests on their way, each with a batch of 16 records
// of 1 KiB, acks=all, on a disk whose sync takes 5 or 20 ms (slow-disk.ts), with the product's settings. Beside it: one request on its way.

import { connect, type Socket } from 'node:net'
import { api } from '../adapters/kafka-protocol/apis.ts'
import { FrameSplitter } from '../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../adapters/kafka-protocol/writer.ts'
import { loadTestCore } from '../test/helpers/core.ts'
import { type Build, ownBuild } from './build.ts'
import { type Bench, compareBuilds, fillerBytes, median } from './harness.ts'
import { withDirectory } from './open-store.ts'
import { BenchWorker } from './worker.ts'

/** Against the build before requests of one connection overlapped. */
const RATIO_MIN = 4
const PRODUCE_VERSION = 9
const RECORDS_PER_BATCH = 16
const RECORD_BYTES = 1024

interface Load {
  readonly syncMs: number
  readonly inFlight: number
  readonly requestCount: number
}

const LOADS: readonly Load[] = [
  { syncMs: 5, inFlight: 5, requestCount: 1_500 },
  { syncMs: 20, inFlight: 5, requestCount: 500 },
  { syncMs: 5, inFlight: 1, requestCount: 300 }
]

interface Run {
  readonly requestsPerSecond: number
  readonly requestsPerCommit: number
}

/** Requests of one producer, encoded before the clock runs: correlation id and sequence are their numbers. */
function requestsOf(count: number): Uint8Array[] {
  const core = loadTestCore()
  const value = fillerBytes(RECORD_BYTES)
  return Array.from({ length: count }, (_, at) => {
    const records = Array.from({ length: RECORDS_PER_BATCH }, () => ({ timestampMs: Date.now(), key: null, value, headers: [] }))
    const producer = { producerId: 1_000n, producerEpoch: 0, baseSequence: at * RECORDS_PER_BATCH, isTransactional: false }
    const batch = core.buildBatch(records, { baseOffset: 0, producer }).slice()
    const topicData = [{ name: 'readings', partitionData: [{ index: 0, records: batch }] }]
    return joinChunks(
      api.Produce.encodeRequest(PRODUCE_VERSION, { acks: -1, timeoutMs: 30_000, topicData }, { correlationId: at, clientId: 'bench' })
    )
  })
}

/** Keeps `inFlight` requests on their way until all are answered. @throws Error when one is refused, or the answers are out of order */
async function sendAll(socket: Socket, requests: readonly Uint8Array[], inFlight: number): Promise<void> {
  const splitter = new FrameSplitter(2 ** 20)
  let sent = 0
  let answered = 0
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the listener closed the connection')))
    const send = (): void => {
      socket.cork()
      while (sent < requests.length && sent - answered < inFlight) socket.write(requests[sent++] as Uint8Array)
      socket.uncork()
    }
    socket.on('data', (chunk) => {
      for (const frame of splitter.push(chunk as Buffer)) {
        const { correlationId, response } = api.Produce.decodeResponse(PRODUCE_VERSION, frame)
        const errorCode = response.responses[0]?.partitionResponses[0]?.errorCode
        if (correlationId !== answered || errorCode !== 0)
          return reject(new Error(`request ${answered}: ${correlationId}, error ${errorCode}`))
        answered++
      }
      if (answered === requests.length) resolve()
      else send()
    })
    send()
  })
}

function measure(build: Build, { syncMs, inFlight, requestCount }: Load): Promise<Run> {
  return withDirectory(async (directory) => {
    const worker = new BenchWorker<{ port: number; commits: number }>('pipeline.worker.js', [`${directory}/data`, String(syncMs)], {
      build
    })
    try {
      const { port } = await worker.next()
      const commits = async (): Promise<number> => {
        worker.send({})
        return (await worker.next()).commits
      }
      const requests = requestsOf(requestCount)
      const socket = connect({ host: '127.0.0.1', port, noDelay: true })
      const before = await commits()
      const startMs = performance.now()
      await sendAll(socket, requests, inFlight)
      const elapsedMs = performance.now() - startMs
      const requestsPerCommit = requestCount / ((await commits()) - before)
      socket.destroy()
      return { requestsPerSecond: (requestCount / elapsedMs) * 1_000, requestsPerCommit }
    } finally {
      await worker.kill()
    }
  })
}

export const pipelineBench: Bench = {
  name: 'pipeline',
  question: 'one connection of an idempotent producer on a disk with slow syncs: requests per second',
  async run({ isSmoke, builds, figure }) {
    const rounds = isSmoke ? 1 : 3
    for (const load of isSmoke ? [{ syncMs: 1, inFlight: 2, requestCount: 6 }] : LOADS) {
      const runs = new Map<Build, Run[]>(builds.map((build) => [build, []]))
      for (let round = 0; round < rounds; round++) for (const build of builds) runs.get(build)?.push(await measure(build, load))
      const medianOf = (build: Build, what: keyof Run): number => median((runs.get(build) ?? []).map((run) => run[what]))
      const other = builds.find((build) => build !== ownBuild)
      const ratio = other ? medianOf(ownBuild, 'requestsPerSecond') / medianOf(other, 'requestsPerSecond') : Number.NaN
      figure({
        what: 'acknowledged',
        parameters: { ...load, rounds },
        unit: 'requests/s',
        ...compareBuilds(builds, (build) => medianOf(build, 'requestsPerSecond'), {
          wanted: 'more',
          ...(other && load.inFlight > 1 && { target: { text: `>= ${RATIO_MIN} x`, isMet: ratio >= RATIO_MIN } })
        })
      })
      figure({
        what: 'shared syncs',
        parameters: { ...load, rounds },
        unit: 'requests per commit',
        ...compareBuilds(builds, (build) => medianOf(build, 'requestsPerCommit'), { wanted: 'more' })
      })
    }
  }
}
