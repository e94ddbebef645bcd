// The long runs: npm run test:soak [-- --seeds 20000 --first 1 --kills 100 --threads 2 --no-canaries --mqtt-packets 10000000 --kafka-requests 10000000]
//
//   seeds   the whole gateway in simulation, that many seeds (each failing one prints the line that replays it)
//   session-seeds  MQTT clients and their sessions in simulation, that many seeds
//   kills   the real process under MQTT load, SIGKILL that many times, then the ledger against what is stored
//   mqtt-packets  that many mutated packets, a third of each MQTT version, through the packet reader: whole and in pieces; as many of each through the fast lane
//   kafka-requests  that many requests, legal, damaged and nonsense, through a broker with a good producer and a good consumer beside them
//   canaries  each fault that is put into the product on purpose, until a seed notices it
//
// One JSON line per rig, and a last line "canaries caught / total"; exit code 1 when any acknowledged event was lost, altered, reordered or doubled,
// the packet reader broke a promise, a request was not answered as it should be, the replay of a seed failed, or a canary was not caught.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { runKillLoop } from './faults/kill-loop.ts'
import { loadTestCore } from './helpers/core.ts'
import { fuzzRequests } from './kafka-server/request-fuzz.ts'
import { fuzzLane } from './mqtt/lane-fuzz.ts'
import { fuzzReader } from './mqtt/reader-fuzz.ts'
import { canaries } from './sim/canaries.ts'
import { runCanary } from './sim/run-canary.ts'
import { runParallel } from './sim/run-parallel.ts'
import { runSubscriberCanary, runSubscribers } from './sim/run-subscribers.ts'
import { subscriberCanaries } from './sim/subscriber-canaries.ts'

/** Of a canary of MQTT sessions. */
const SESSION_SEEDS_MAX = 1_000

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20000' },
    first: { type: 'string', default: '1' },
    kills: { type: 'string', default: '100' },
    threads: { type: 'string', default: String(availableParallelism()) },
    'session-seeds': { type: 'string', default: '2000' },
    'mqtt-packets': { type: 'string', default: '10000000' },
    'kafka-requests': { type: 'string', default: '10000000' },
    'no-canaries': { type: 'boolean', default: false }
  }
})

async function simulate(): Promise<boolean> {
  const count = Number(values.seeds)
  let toldAt = 0
  const summary = await runParallel({
    first: Number(values.first),
    count,
    threads: Number(values.threads),
    onFailure: (seed, violations) => {
      console.log(`FAILED  replay with: SEED=${seed} node dist/test/sim/soak.js`)
      for (const violation of violations) console.log(`        ${violation}`)
    },
    onProgress: (done) => {
      if (done - toldAt < 2_000) return
      toldAt = done
      console.error(`${done} of ${count} seeds`)
    }
  })
  console.log(JSON.stringify(summary))
  return summary.failedSeeds.length === 0
}

async function simulateSessions(): Promise<boolean> {
  const count = Number(values['session-seeds'])
  if (count === 0) return true
  const { seeds, failed, reached } = await runSubscribers({ first: Number(values.first), count, threads: Number(values.threads) })
  for (const [seed, violations] of failed) {
    console.log(`FAILED  replay with: SEED=${seed} node dist/test/sim/subscriber-sessions.test.js`)
    for (const violation of violations) console.log(`        ${violation}`)
  }
  console.log(JSON.stringify({ rig: 'MQTT sessions', seeds, failedSeeds: [...failed.keys()], reached: Object.fromEntries(reached) }))
  return failed.size === 0
}

async function kill(): Promise<boolean> {
  const kills = Number(values.kills)
  if (kills === 0) return true
  const result = await runKillLoop({
    seed: Number(values.first),
    kills,
    onKill: (done) => {
      if (done % 10 === 0) console.error(`${done} of ${kills} kills`)
    }
  })
  console.log(JSON.stringify({ rig: 'kill -9 under MQTT load', ...result }))
  const { acked, lost, phantom, altered, reordered, duplicated } = result
  return acked > 0 && lost + phantom + altered + reordered + duplicated === 0
}

function fuzzPackets(): boolean {
  const count = Math.ceil(Number(values['mqtt-packets']) / 3)
  if (count === 0) return true
  let isGood = true
  for (const version of [3, 4, 5] as const) {
    const result = fuzzReader({ version, count, seed: Number(values.first) })
    console.log(JSON.stringify({ rig: 'mutated MQTT packets', version, ...result }))
    if (result.problem !== null) isGood = false
  }
  for (const version of [4, 5] as const) {
    const result = fuzzLane(loadTestCore('debug'), { version, count, seed: Number(values.first) })
    console.log(JSON.stringify({ rig: 'damaged MQTT packets by the fast lane', version, ...result }))
    if (result.problem !== null) isGood = false
  }
  return isGood
}

async function fuzzKafka(): Promise<boolean> {
  const count = Number(values['kafka-requests'])
  if (count === 0) return true
  const result = await fuzzRequests({ count, seed: Number(values.first) })
  console.log(JSON.stringify({ rig: 'Kafka requests and their answers', ...result }))
  return result.problem === null
}

async function proveRig(): Promise<boolean> {
  if (values['no-canaries']) return true
  const names = Object.keys(canaries)
  let caught = 0
  for (const name of names) {
    const { caughtBy, seeds } = await runCanary(name, Number(values.threads))
    if (caughtBy !== null) caught++
    console.error(`${caughtBy === null ? 'MISSED' : 'caught'} after ${seeds} seeds: ${name}`)
  }
  const ofSessions = Object.keys(subscriberCanaries)
  for (const name of ofSessions) {
    const { caughtBy, seeds } = await runSubscriberCanary(name, SESSION_SEEDS_MAX)
    if (caughtBy !== null) caught++
    console.error(`${caughtBy === null ? 'MISSED' : 'caught'} after ${seeds} seeds: ${name}`)
  }
  const total = names.length + ofSessions.length
  console.log(`canaries caught ${caught} / ${total}`)
  return caught === total
}

const isGood = [await simulate(), await simulateSessions(), await kill(), fuzzPackets(), await fuzzKafka(), await proveRig()].every(
  (good) => good
)
if (!isGood) process.exitCode = 1
