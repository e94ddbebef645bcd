// Proves for `kafka: listen`: what Kafka clients send and do not finish, and what they ask for and do not read, takes bounded memory over all
// connections: 200 that say nothing and 1,000 that announce requests of 16 MiB, or send the largest that are taken, make the gateway's resident
// memory grow by at most 32 MiB, 200 that fetch large data and never read by at most 96 MiB (the answers hold 8; what was read from the segments
// for them is left to the collector, which looks at every 64 MiB). Meanwhile events are taken and small requests are answered.
// How: `wadi run` in a process of its own, raw sockets, the resident bytes of its own status report. With the budgets taken out it is noticed.

import { connect, type Socket } from 'node:net'
import mqtt from 'mqtt'
import t, { type Test } from 'tap'
import { askControl } from '../../adapters/control/control-client.ts'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { FrameSplitter } from '../../adapters/kafka-protocol/frame.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import type { StatusReport } from '../../gateway/status-report.ts'
import { freePort, GatewayProcess } from '../faults/gateway-process.ts'

const MIB = 1024 * 1024
const GROWTH_BYTES_MAX = 32 * MIB
const FETCHED_GROWTH_BYTES_MAX = 96 * MIB
const SILENT = 200
const LOUD = 1_000
const READERS = 200
const LOOKS = 20
const LOOK_MS = 100
const header = { correlationId: 1, clientId: 'flood' }

interface Scene {
  readonly gateway: GatewayProcess
  readonly kafkaPort: number
  open(): Promise<Socket>
  status(): Promise<StatusReport>
}

async function start(test: Test, mutation?: 'kafka-unbounded'): Promise<Scene> {
  const kafkaPort = await freePort()
  const gateway = await GatewayProcess.create({
    ...(mutation && { mutation }),
    config: ({ port, data }) => `gateway: { id: flood, data: ${data} }
storage: { journal: { file_size: 64MiB } }
mqtt: [{ listen: "127.0.0.1:${port}" }]
kafka: { listen: "127.0.0.1:${kafkaPort}", limits: { connections: ${SILENT + LOUD + READERS + 1} } }
topics: { plant: { codec: none } }
routes: [{ filter: "plant/#", topic: plant, key: none }]
`
  })
  await gateway.start()
  const sockets: Socket[] = []
  test.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await gateway.remove()
  })
  return {
    gateway,
    kafkaPort,
    open: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: kafkaPort }, () => resolve(socket))
        socket.once('error', reject)
        socket.on('error', () => undefined)
        sockets.push(socket)
      }),
    status: () => askControl(gateway.dataDirectory, { command: 'status' }) as Promise<StatusReport>
  }
}

async function publish({ gateway }: Scene, count: number, payload: Buffer): Promise<void> {
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port: gateway.port, protocolVersion: 4 })
  for (let sent = 0; sent < count; sent++) await client.publishAsync('plant/oven', payload, { qos: 1 })
  await client.endAsync()
}

/** The most that the gateway grows by, from before `attack` until some looks after it. Units: bytes. */
async function growthDuring(scene: Scene, attack: () => Promise<void>): Promise<number> {
  const residentBytes = async (): Promise<number> => (await scene.status()).gateway.residentBytes
  let before = 0
  for (let look = 0; look < 5; look++) before = Math.max(before, await residentBytes())
  await attack()
  let most = 0
  for (let look = 0; look < LOOKS; look++) {
    most = Math.max(most, await residentBytes())
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return most - before
}

async function announce(scene: Scene, announcedBytes: number, sentBytes: number): Promise<void> {
  for (let count = 0; count < SILENT; count++) await scene.open()
  const request = Buffer.alloc(4 + announcedBytes)
  request.writeInt32BE(announcedBytes)
  for (let count = 0; count < LOUD; count++) (await scene.open()).write(request.subarray(0, 4 + sentBytes))
}

const fetchPlant = joinChunks(
  api.Fetch.encodeRequest(
    4,
    {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 64 * MIB,
      topics: [{ topic: 'plant', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 64 * MIB }] }]
    },
    header
  )
)

/** Each asks for much, again and again, and reads nothing. */
async function fetchUnread(scene: Scene): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 100 }, () => fetchPlant))
  for (let count = 0; count < READERS; count++) {
    const socket = await scene.open()
    socket.pause()
    socket.write(many)
  }
}

/** A client that comes afterwards, or among them, gets its answer. */
async function isServed(scene: Scene, request: Uint8Array): Promise<boolean> {
  const socket = await scene.open()
  const splitter = new FrameSplitter(2 ** 30)
  return new Promise((resolve) => {
    socket.on('data', (chunk) => splitter.push(chunk as Buffer).length > 0 && resolve(true))
    socket.once('close', () => resolve(false))
    socket.write(request)
  })
}

const metadata = joinChunks(api.Metadata.encodeRequest(1, { topics: null }, header))

/** Half of kafka.limits.memory. */
const LARGEST = 8 * MIB

for (const [what, announcedBytes, sentBytes] of [
  ['16 MiB announced', 16 * MIB, 0],
  ['the largest size announced', LARGEST, 0],
  ['the largest size, begun', LARGEST, 60_000],
  ['the largest size, sent as fast as they are taken', LARGEST, LARGEST]
] as const) {
  t.test(`1,000 requests of ${what}, and 200 silent connections: at most 32 MiB more`, async (t) => {
    const scene = await start(t)
    const grownBytes = await growthDuring(scene, () => announce(scene, announcedBytes, sentBytes))
    t.ok(grownBytes <= GROWTH_BYTES_MAX, `${(grownBytes / MIB).toFixed(1)} MiB`)
    await publish(scene, 10, Buffer.from('taken meanwhile'))
    t.ok(await isServed(scene, metadata), 'a small request is answered meanwhile')
    t.equal((await scene.status()).kafka?.refusedConnections, 0)
  })
}

t.test('200 clients that fetch 20 MiB again and again and read nothing: at most 96 MiB more', async (t) => {
  const scene = await start(t)
  await publish(scene, 100, Buffer.alloc(200_000, 'x'))
  const grownBytes = await growthDuring(scene, () => fetchUnread(scene))
  t.ok(grownBytes <= FETCHED_GROWTH_BYTES_MAX, `${(grownBytes / MIB).toFixed(1)} MiB`)
  t.ok(await isServed(scene, metadata), 'a small request is answered meanwhile')
})

t.test('without the budgets both are noticed (canary)', async (t) => {
  const attacks: [(scene: Scene) => Promise<void>, number][] = [
    [(scene) => announce(scene, LARGEST, 256 * 1024), GROWTH_BYTES_MAX],
    [fetchUnread, FETCHED_GROWTH_BYTES_MAX]
  ]
  for (const [attack, growthMax] of attacks) {
    const scene = await start(t, 'kafka-unbounded')
    await publish(scene, 100, Buffer.alloc(200_000, 'x'))
    const grownBytes = await growthDuring(scene, () => attack(scene))
    t.ok(grownBytes > growthMax, `${(grownBytes / MIB).toFixed(1)} MiB`)
  }
})
