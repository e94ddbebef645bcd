// Requests that are legal, damaged or nonsense, of every API and version that is served, carried out by a broker without a wire: each is answered with
// what its client can read, or ends its connection by name, and nothing else is thrown; whoever is made to wait is let go of. Beside them a good producer and a
// good consumer, who notice nothing.
// Used by request-fuzz.test.ts and, with many more, by test/soak.ts.

import type { AnyApi } from '../../adapters/kafka-protocol/apis.ts'
import { api } from '../../adapters/kafka-protocol/apis.ts'
import { ProtocolError } from '../../adapters/kafka-protocol/protocol-error.ts'
import { joinChunks } from '../../adapters/kafka-protocol/writer.ts'
import { ConnectionRefusal, type RequestContext } from '../../adapters/kafka-server/context.ts'
import { dispatch } from '../../adapters/kafka-server/dispatch.ts'
import { topicIdOf } from '../../adapters/kafka-server/topic-id.ts'
import { defaultOf, topicSettings } from '../../runtime/broker/topic-settings.ts'
import { committedValues, Rig } from '../broker/rig.ts'
import { createPrng, randomStruct } from '../kafka-protocol/random-message.ts'
import { Prng } from '../sim/prng.ts'
import { drainMicrotasks } from '../sim/sim-clock.ts'

/** Each on a broker of its own: what they store does not grow for ever. */
const LIFE_REQUESTS = 10_000
/** Between two looks at the good ones; then what waits is let go of. */
const LOOK_REQUESTS = 250
const GOOD = 'good'
/** Longer than any timeout that a request may ask for. */
const PATIENCE_MS = 3_600_000
const NAMES = ['a', 'b', 'g', 'm', 'x', 'no such', 'x'.repeat(249), 'y'.repeat(5_000), 'é'.repeat(10_000), 'z'.repeat(32_767)]

/** Of settings. */
const VALUES = [
  'compact',
  'compact,delete',
  'LogAppendTime',
  'snappy',
  '-1',
  '1',
  '70000',
  '2097152',
  '9223372036854775807',
  'x'.repeat(300),
  'é',
  '',
  null
]

type Loose = Record<string, unknown>

export interface RequestFuzzResult {
  readonly requests: number
  readonly answered: number
  /** Ended their connection, by name. */
  readonly refused: number
  /** Of produced batches that were taken. */
  readonly goodEvents: number
  /** What went wrong first, with the request; null = nothing. */
  readonly problem: string | null
}

interface Served {
  readonly known: AnyApi & (typeof api)[keyof typeof api]
  readonly version: number
}

const served: readonly Served[] = Object.values(api).flatMap((known) =>
  Array.from({ length: known.maxVersion - known.minVersion + 1 }, (_, at): Served => ({ known, version: known.minVersion + at }))
)

export async function fuzzRequests({ count, seed }: { count: number; seed: number }): Promise<RequestFuzzResult> {
  const total = { requests: 0, answered: 0, refused: 0, goodEvents: 0 }
  for (let life = 0; total.requests < count; life++) {
    const one = new Life(seed + life)
    const problem = await one.run(Math.min(LIFE_REQUESTS, count - total.requests))
    for (const what of ['requests', 'answered', 'refused', 'goodEvents'] as const) total[what] += one.counts[what]
    if (problem !== null) return { ...total, problem: `seed ${seed + life}: ${problem}` }
  }
  return { ...total, problem: null }
}

class Life {
  readonly counts = { requests: 0, answered: 0, refused: 0, goodEvents: 0 }
  readonly #rig = new Rig()
  readonly #prng: Prng
  readonly #messages: ReturnType<typeof createPrng>
  /** Of requests that are not answered yet. */
  readonly #waiting = new Map<number, { readonly request: string; readonly abort: AbortController }>()
  #problem: string | null = null
  #read = 0

  constructor(seed: number) {
    this.#prng = new Prng(seed)
    this.#messages = createPrng(seed)
  }

  async run(count: number): Promise<string | null> {
    for (const name of [GOOD, 'a', 'b']) await this.#rig.topic(name, 2)
    while (this.counts.requests < count && this.#problem === null) {
      this.#send(this.#request())
      if (this.counts.requests % 10 === 0) await drainMicrotasks()
      if (this.counts.requests % LOOK_REQUESTS === 0 || this.counts.requests === count) await this.#look()
    }
    this.#rig.broker.close()
    return this.#problem
  }

  #send(request: { served: Served | null; frame: Uint8Array }): void {
    const at = this.counts.requests++
    const abort = new AbortController()
    const { frame } = request
    const words = `${request.served?.known.name ?? '?'} ${request.served?.version ?? ''} ${Buffer.from(frame).toString('hex').slice(0, 4_000)}`
    this.#waiting.set(at, { request: words, abort })
    const context = (header: { apiVersion: number; clientId: string }): RequestContext => ({
      broker: this.#rig.broker,
      node: { nodeId: 1, host: '127.0.0.1', port: 9092 },
      clusterId: 'fuzz',
      certificateSubject: null,
      autoCreateTopics: true,
      deleteTopics: true,
      fetchBytesMax: 64 * 1024,
      ...header,
      clientHost: '127.0.0.1',
      connectionId: at % 50,
      signal: abort.signal,
      reserveAnswer: async () => true,
      answerBytesFree: () => 1024 * 1024,
      waitMsMax: Number.POSITIVE_INFINITY,
      releaseRequest: () => undefined,
      releaseWhenSent: () => undefined
    })
    dispatch(frame, context)
      .then((chunks) => this.#answered(frame, chunks))
      .catch((error: unknown) => {
        if (error instanceof ProtocolError || error instanceof ConnectionRefusal) this.counts.refused++
        else this.#problem ??= `${words} threw ${error instanceof Error ? error.stack : error}`
      })
      .finally(() => this.#waiting.delete(at))
  }

  /** Its client can read it: in the version that it asked in. */
  #answered(frame: Uint8Array, chunks: readonly Uint8Array[] | null): void {
    this.counts.answered++
    if (chunks === null) return
    const view = new DataView(frame.buffer, frame.byteOffset)
    const known = Object.values(api).find(({ key }) => key === view.getInt16(0))
    const version = known?.supports(view.getInt16(2)) ? view.getInt16(2) : 0
    const { correlationId } = (known as AnyApi & typeof api.Metadata).decodeResponse(version, joinChunks([...chunks]).subarray(4))
    if (correlationId !== view.getInt32(4)) this.#problem ??= `${known?.name} ${version}: an answer to another request`
  }

  /** A legal one, one of words that mean something here, one with damage, or nonsense. */
  #request(): { served: Served | null; frame: Uint8Array } {
    const prng = this.#prng
    if (prng.chance(5)) return { served: null, frame: prng.bytes(8 + prng.below(80)) }
    const one = served[prng.below(served.length)] as Served
    const message = randomStruct(this.#messages, one.known.fields.request, one.version)
    if (prng.chance(80)) this.#meaningful(message)
    const header = { correlationId: prng.below(2 ** 31), clientId: 'c' }
    let frame: Uint8Array
    try {
      frame = joinChunks((one.known as unknown as typeof api.Metadata).encodeRequest(one.version, message as never, header)).slice(4)
    } catch {
      return this.#request() // a name that is longer than this version can say
    }
    if (prng.chance(30)) return { served: one, frame: this.#damaged(frame) }
    return { served: one, frame }
  }

  /** Names, ids, offsets and batches that lead somewhere, in place of some of the random ones. */
  #meaningful(message: Loose): void {
    for (const [name, value] of Object.entries(message)) message[name] = this.#meaningfulValue(name, value)
  }

  #meaningfulValue(name: string, value: unknown): unknown {
    const prng = this.#prng
    if (name === 'configs') return (value as readonly Loose[]).map((config) => this.#setting(config))
    if (Array.isArray(value)) return value.map((element) => this.#meaningfulValue(name, element))
    if (value instanceof Uint8Array) return name === 'records' ? this.#batch() : value
    if (typeof value === 'string') return name === 'topicId' ? this.#topicId() : this.#name()
    if (typeof value === 'number' && prng.chance(70)) return prng.chance(80) ? prng.below(4) : -prng.below(4)
    if (typeof value === 'bigint' && prng.chance(70)) return BigInt(prng.below(6))
    if (typeof value === 'object' && value !== null) this.#meaningful(value as Loose)
    return value
  }

  #name(): string {
    return NAMES[this.#prng.chance(80) ? this.#prng.below(5) : this.#prng.below(NAMES.length)] as string
  }

  /** One that topics have, mostly, with a value that it may have, sometimes. */
  #setting(config: Loose): Loose {
    const prng = this.#prng
    const setting = topicSettings[prng.below(topicSettings.length)] as (typeof topicSettings)[number]
    const value = prng.chance(60) ? defaultOf(setting, this.#rig.broker.settings) : (VALUES[prng.below(VALUES.length)] as string | null)
    const name = prng.chance(90) ? setting.name : this.#name()
    return { ...config, name, value, ...('configOperation' in config && { configOperation: prng.below(5) }) }
  }

  #topicId(): string {
    const topic = this.#rig.store.topics.get(this.#prng.chance(50) ? 'a' : 'b')
    return topic ? topicIdOf(topic) : 'ab'.repeat(16)
  }

  #batch(): Uint8Array {
    const prng = this.#prng
    const producer = {
      producerId: BigInt(prng.below(6)),
      producerEpoch: prng.below(2),
      baseSequence: prng.below(4),
      isTransactional: prng.chance(30)
    }
    const batch = prng.chance(50) ? this.#rig.batch(['v'], producer) : this.#rig.batch(['v', 'w'])
    return prng.chance(20) ? this.#damaged(batch) : batch
  }

  #damaged(bytes: Uint8Array): Uint8Array {
    const prng = this.#prng
    const copy = new Uint8Array(bytes)
    for (let flips = prng.between(1, 3); flips > 0 && copy.length > 8; flips--) copy[prng.between(8, copy.length - 1)] = prng.below(256)
    return prng.chance(30) ? copy.subarray(0, Math.max(8, prng.below(copy.length + 1))) : copy
  }

  /** The good ones write and read on; whoever waits longer than any timeout is let go of. */
  async #look(): Promise<void> {
    const outcome = await this.#rig.append(GOOD, this.#rig.batch([`${this.counts.goodEvents}`]))
    if (outcome.fault !== 'NONE') this.#problem ??= `the good producer was answered ${outcome.fault}: ${outcome.message}`
    this.counts.goodEvents++
    const { values, nextOffset } = committedValues(this.#rig.core, await this.#rig.fetch(GOOD, { from: this.#read }))
    if (values.join() !== `${this.counts.goodEvents - 1}`) this.#problem ??= `the good consumer read ${values.join()} at ${this.#read}`
    this.#read = nextOffset ?? this.#read
    for (const { abort } of this.#waiting.values()) abort.abort()
    await this.#rig.clock.run({ untilMs: this.#rig.clock.monotonicMs() + PATIENCE_MS })
    await drainMicrotasks()
    const [stuck] = this.#waiting.values()
    if (stuck) this.#problem ??= `nobody answers ${stuck.request}`
  }
}
