// One TCP connection to one broker, with TLS or without: requests out, answers matched by correlation id, a deadline on everything.
// Invariants: a request ends exactly once; it fails as 'unreachable' when its last byte was never handed to the operating system
// (Kafka does not look at half a request) and as 'in-doubt' afterwards; after the first failure the connection is dead and
// everything under way on it has failed. Not for: choosing brokers, retrying.

import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Clock, sleep, type Timer } from '../../runtime/io/clock.ts'
import { UpstreamFault, type UpstreamFaultKind } from '../../runtime/uplink/upstream.ts'
import type { Api, Draft } from '../kafka-protocol/api.ts'
import { api } from '../kafka-protocol/apis.ts'
import { ERROR_CODE, kafkaError } from '../kafka-protocol/error-codes.ts'
import { FrameSplitter } from '../kafka-protocol/frame.ts'
import { ProtocolError } from '../kafka-protocol/protocol-error.ts'
import { readOnly } from './faults.ts'

/** Larger answers are nothing we asked for. The largest is the one batch a probe reads. */
const FRAME_BYTES_MAX = 128 * 1024 * 1024
/** A request leaves in pieces so that its progress can be seen on a thin link. */
const PIECE_BYTES = 64 * 1024
/** Older than this an unused connection is not trusted: brokers close after 10 minutes, routers often after 5. */
const IDLE_MS_MAX = 240_000
/**
 * TCP's keep-alive finds a link that died without a word while nothing is asked: Node probes after this pause, ten times a second apart. Costs
 * 104 bytes (one probe, one answer) per pause and connection, 75 kB a day: see docs/upstream.md.
 */
const KEEP_ALIVE_MS = 120_000
const SOFTWARE = { clientSoftwareName: 'wadi', clientSoftwareVersion: '0.2.0-dev' }

/** PEM. Without `cert` and `key` we show no certificate. */
export interface ClientTls {
  readonly ca: string
  readonly cert?: string
  readonly key?: string
}

export interface ConnectionOptions {
  readonly host: string
  readonly port: number
  readonly clientId: string
  /** undefined = everything is sent in the clear. */
  readonly tls?: ClientTls | undefined
  /** Without progress for so long, sending or waiting for the answer, a request fails. */
  readonly requestTimeoutMs: number
  /** Name lookup, TCP and the first exchange together. */
  readonly dialTimeoutMs: number
  readonly clock: Clock
  readonly wireBytes: { sent: number; received: number }
  /** It was open, and has ended, not by close(). */
  onEnded?(): void
}

interface Pending {
  readonly subject: string
  readonly resolve: (frame: Uint8Array) => void
  readonly reject: (fault: UpstreamFault) => void
  isHandedOver: boolean
  timer: Timer
}

interface VersionRange {
  readonly minVersion: number
  readonly maxVersion: number
}

export class Connection {
  readonly address: string
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #splitter = new FrameSplitter(FRAME_BYTES_MAX)
  readonly #pending = new Map<number, Pending>()
  #versions: ReadonlyMap<number, VersionRange> = new Map()
  #failure: string | null = null
  #isReady = false
  #correlationId = 0
  #sending: Promise<void> = Promise.resolve()
  #throttledUntilMs = 0
  #usedAtMs: number

  /** Begins to connect; open() tells when it may be used. */
  constructor(options: ConnectionOptions) {
    this.#options = options
    this.address = `${options.host}:${options.port}`
    this.#usedAtMs = options.clock.monotonicMs()
    const { host, port, tls } = options
    const target = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }
    this.#socket = tls ? connectTls({ ...target, ...tls }) : connect(target)
    this.#socket.on('data', (chunk) => this.#receive(chunk))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message))
    this.#socket.on('close', () => this.#fail('closed by the other side'))
  }

  /** @throws UpstreamFault unreachable, or refused when the other side does not speak Kafka as we do */
  async open(): Promise<void> {
    const { clock, dialTimeoutMs } = this.#options
    const timer = clock.after(dialTimeoutMs, () => this.#fail(`no connection within ${dialTimeoutMs} ms`))
    try {
      await this.#connected()
      await readOnly(this.#negotiate())
      this.#isReady = true
    } catch (error) {
      this.#fail('the first exchange failed')
      throw error
    } finally {
      timer.cancel()
    }
  }

  /** Open, and used recently enough to be believed. */
  get isUsable(): boolean {
    if (this.#failure !== null || !this.#isReady) return false
    return this.#pending.size > 0 || this.#options.clock.monotonicMs() - this.#usedAtMs < IDLE_MS_MAX
  }

  close(): void {
    this.#isReady = false
    this.#fail('closed by us')
  }

  /**
   * Sends one request in the highest version both sides know (at most `versionMax`) and resolves with the answer.
   * `hardLimitMs` bounds the whole even while there is progress.
   * @throws UpstreamFault unreachable or in-doubt; refused when there is no common version; retry when throttled for too long
   */
  async request<Request, Response extends object>(
    called: Api<Request, Response>,
    draft: (version: number) => Draft<Request>,
    limits: { hardLimitMs?: number; versionMax?: number } = {}
  ): Promise<Response> {
    const version = this.versionOf(called, limits.versionMax)
    await this.#unthrottled(limits.hardLimitMs ?? this.#options.requestTimeoutMs)
    const response = await this.#exchange(called, version, draft(version), limits.hardLimitMs)
    const throttleTimeMs = 'throttleTimeMs' in response ? Number(response.throttleTimeMs) : 0
    if (throttleTimeMs > 0) this.#throttledUntilMs = this.#options.clock.monotonicMs() + throttleTimeMs
    return response
  }

  /** @throws UpstreamFault refused when the broker and we have no version in common */
  versionOf(called: Pick<Api<never, never>, 'key' | 'name' | 'minVersion' | 'maxVersion'>, versionMax = called.maxVersion): number {
    const theirs = this.#versions.get(called.key)
    const version = Math.min(called.maxVersion, versionMax, theirs?.maxVersion ?? -1)
    if (theirs && version >= called.minVersion && version >= theirs.minVersion) return version
    const offered = theirs ? `versions ${theirs.minVersion} to ${theirs.maxVersion}` : 'no version'
    throw new UpstreamFault(
      'refused',
      `${this.address} offers ${offered} of ${called.name}, needed is one of ${called.minVersion} to ${called.maxVersion}`
    )
  }

  /** @throws UpstreamFault unreachable */
  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once(this.#options.tls ? 'secureConnect' : 'connect', () => resolve())
      this.#socket.once('close', () => reject(new UpstreamFault('unreachable', `${this.address}: ${this.#failure}`)))
    })
  }

  async #negotiate(): Promise<void> {
    let answer = await this.#exchange(api.ApiVersions, 3, SOFTWARE)
    // A broker older than that answers in version 0, whatever was asked.
    if (answer.errorCode === ERROR_CODE.UNSUPPORTED_VERSION) answer = await this.#exchange(api.ApiVersions, 0, SOFTWARE)
    if (answer.errorCode !== 0) throw new UpstreamFault('refused', `${this.address}: ApiVersions: ${kafkaError(answer.errorCode).name}`)
    this.#versions = new Map(answer.apiKeys.map((range) => [range.apiKey, range]))
  }

  async #unthrottled(limitMs: number): Promise<void> {
    const delayMs = this.#throttledUntilMs - this.#options.clock.monotonicMs()
    if (delayMs <= 0) return
    if (delayMs > limitMs) throw new UpstreamFault('retry', `${this.address} asks us to wait ${Math.ceil(delayMs)} ms`)
    await sleep(this.#options.clock, delayMs)
  }

  async #exchange<Request, Response>(
    called: Api<Request, Response>,
    version: number,
    draft: Draft<Request>,
    hardLimitMs?: number
  ): Promise<Response> {
    const correlationId = this.#correlationId
    this.#correlationId = (correlationId + 1) & 0x7fffffff
    const chunks = called.encodeRequest(version, draft, { correlationId, clientId: this.#options.clientId })
    const hardLimit =
      hardLimitMs === undefined
        ? null
        : this.#options.clock.after(hardLimitMs, () => this.#fail(`${called.name} took longer than ${hardLimitMs} ms`))
    try {
      const frame = await new Promise<Uint8Array>((resolve, reject) => {
        const subject = `${called.name} to ${this.address}`
        if (this.#failure !== null) return reject(new UpstreamFault('unreachable', `${subject}: ${this.#failure}`))
        const pending: Pending = { subject, resolve, reject, isHandedOver: false, timer: this.#stallTimer(subject) }
        this.#pending.set(correlationId, pending)
        this.#sending = this.#sending.then(() => this.#send(chunks, pending))
      })
      return this.#decode(called, version, frame)
    } finally {
      hardLimit?.cancel()
    }
  }

  #decode<Request, Response>(called: Api<Request, Response>, version: number, frame: Uint8Array): Response {
    try {
      const isOldAnswer = called.key === api.ApiVersions.key && Buffer.from(frame).readInt16BE(4) === ERROR_CODE.UNSUPPORTED_VERSION
      return called.decodeResponse(isOldAnswer ? 0 : version, frame).response
    } catch (error) {
      this.#fail(`an answer that is not ${called.name} version ${version}`)
      throw new UpstreamFault('in-doubt', `${this.address}: an answer that is not ${called.name} version ${version}`, { cause: error })
    }
  }

  #stallTimer(subject: string, uploadMs = 0): Timer {
    const { clock, requestTimeoutMs } = this.#options
    const limitMs = Math.round(requestTimeoutMs + uploadMs)
    return clock.after(limitMs, () => this.#fail(`${subject} got no answer within ${limitMs} ms`))
  }

  async #send(chunks: readonly Uint8Array[], pending: Pending): Promise<void> {
    const { clock } = this.#options
    const pieces = cut(chunks)
    const startedMs = clock.monotonicMs()
    for (const [index, piece] of pieces.entries()) {
      if (this.#failure !== null) return
      pending.isHandedOver = index === pieces.length - 1
      pending.timer.cancel()
      // What the operating system still holds of it leaves about as fast as the rest did: that long is added to the wait.
      pending.timer = this.#stallTimer(pending.subject, pending.isHandedOver ? clock.monotonicMs() - startedMs : 0)
      this.#options.wireBytes.sent += piece.byteLength
      this.#usedAtMs = clock.monotonicMs()
      await new Promise<void>((resolve) => this.#socket.write(piece, () => resolve()))
    }
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure !== null) return
    this.#options.wireBytes.received += chunk.byteLength
    this.#usedAtMs = this.#options.clock.monotonicMs()
    try {
      for (const frame of this.#splitter.push(chunk)) this.#answer(frame)
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error))
    }
  }

  #answer(frame: Uint8Array): void {
    const correlationId = frame.byteLength < 4 ? -1 : new DataView(frame.buffer, frame.byteOffset, 4).getInt32(0)
    const pending = this.#pending.get(correlationId)
    if (!pending) throw new ProtocolError('value', `an answer to no question of ours (${correlationId})`)
    this.#pending.delete(correlationId)
    pending.timer.cancel()
    pending.resolve(frame)
  }

  #fail(reason: string): void {
    if (this.#failure !== null) return
    this.#failure = reason
    this.#socket.destroy()
    for (const pending of this.#pending.values()) {
      pending.timer.cancel()
      const kind: UpstreamFaultKind = pending.isHandedOver ? 'in-doubt' : 'unreachable'
      pending.reject(new UpstreamFault(kind, `${pending.subject}: ${reason}`))
    }
    this.#pending.clear()
    if (this.#isReady) this.#options.onEnded?.()
  }
}

/** Small chunks joined, large ones cut: pieces of about PIECE_BYTES. */
function cut(chunks: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let small: Uint8Array[] = []
  let smallBytes = 0
  const flush = (): void => {
    if (smallBytes > 0) pieces.push(small.length === 1 ? small[0]! : Buffer.concat(small))
    small = []
    smallBytes = 0
  }
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength; at += PIECE_BYTES) {
      const part = chunk.subarray(at, at + PIECE_BYTES)
      if (smallBytes + part.byteLength > PIECE_BYTES) flush()
      small.push(part)
      smallBytes += part.byteLength
    }
  }
  flush()
  return pieces
}
