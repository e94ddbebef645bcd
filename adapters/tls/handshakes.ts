// TLS on connections that a listener has accepted: a socket of encrypted bytes goes in, one of plain bytes comes out, or a fault that is counted and told.
//
// Invariants: each handshake ends once, in time (the deadline is for all of it, whatever trickles in); so many are under way at most, and those who wait
// have cost no memory of TLS (handshake-places.ts); a connection that fails is closed; certificates are
// exchanged under it without ending a connection (use()), and sessions of before are not resumed then, so that a CA that is gone lets nobody in.
// The only file that knows of node:tls which raw socket stands behind a new one (`_parent`). A tls.Server that never listens makes the handshakes: to hand
// it connections is documented (event 'connection').
// Not for: counting and refusing connections (the listeners), reading files (certificate-files.ts).

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { clientNetworkOf } from '../../runtime/base/client-network.ts'
import { nameText } from './certificate-facts.ts'
import type { TlsMaterial } from './certificate-files.ts'
import {
  crowdedFault,
  faultOfCertificate,
  faultOfError,
  type HandshakeFault,
  type HandshakeReason,
  timeoutFault
} from './handshake-fault.ts'
import { HandshakePlaces } from './handshake-places.ts'
import type { ClientCertificates } from './tls-settings.ts'

export interface HandshakesOptions {
  readonly material: TlsMaterial
  readonly clientCertificates: ClientCertificates
  /** Protocols above TLS, as clients may ask for them; empty = it is not looked at. */
  readonly protocols?: readonly string[]
  /** For one handshake, from accept on. */
  readonly deadlineMs?: number
  readonly onFailure?: (fault: HandshakeFault) => void
}

/** Live counters since the start. */
export interface HandshakeMetrics {
  /** Not done now: under way, or waiting for a place. */
  readonly pending: number
  readonly done: number
  /** Of them, those that went on with a session of before: they cost neither side a signature. */
  readonly resumed: number
  readonly failed: ReadonlyMap<HandshakeReason, number>
}

/** A client whose bytes are plain from now on. */
export interface SecuredClient {
  /** Not read yet. */
  readonly socket: TLSSocket
  /** Of its certificate, which was verified: RFC 2253; null = it has shown none. */
  readonly certificateSubject: string | null
}

interface Pending {
  readonly remoteAddress: string
  readonly network: string
  readonly timer: NodeJS.Timeout
  /** Whether its listener still answers clients that have ended their side. */
  readonly allowHalfOpen: boolean
  readonly onSecure: (client: SecuredClient) => void
}

const DEADLINE_MS = 10_000
/** With 90 KiB each, the most that one takes whose first message is as long as it may be: 6 MiB. */
const UNDER_WAY_MAX = 64
/** While others wait. A device that needs seconds for its part has the whole deadline as long as nobody does. */
const GRACE_MS = 3_000
const TICKET_KEY_BYTES = 48

export class Handshakes {
  readonly #server: Server
  readonly #options: HandshakesOptions
  readonly #pending = new Map<Socket, Pending>()
  readonly #places = new HandshakePlaces<Socket>({
    max: UNDER_WAY_MAX,
    graceMs: GRACE_MS,
    nowMs: () => performance.now(),
    start: (accepted) => this.#start(accepted),
    giveUp: (accepted) => this.#fail(accepted, crowdedFault),
    after: (ms, look) => void setTimeout(look, ms).unref()
  })
  readonly #failed = new Map<HandshakeReason, number>()
  #byHost: TlsMaterial['byHost']
  #doneCount = 0
  #resumedCount = 0

  constructor(options: HandshakesOptions) {
    const { material, clientCertificates, protocols = [] } = options
    this.#options = options
    this.#byHost = material.byHost
    this.#server = createServer({
      ...material.options,
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'required',
      ...(protocols.length > 0 && { ALPNProtocols: [...protocols] }),
      ...(material.byHost.size > 0 && {
        SNICallback: (name: string, done: (error: null, context?: SecureContext) => void) => done(null, this.#contextFor(name))
      })
    })
    this.#server.on('secureConnection', (socket) => this.#succeed(socket))
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.#refuse(socket, error))
  }

  get metrics(): HandshakeMetrics {
    return { pending: this.#pending.size, done: this.#doneCount, resumed: this.#resumedCount, failed: this.#failed }
  }

  /** New handshakes are made with `material`; connections that stand are left alone. @throws Error of OpenSSL: then the material of before is used on */
  use(material: TlsMaterial): void {
    this.#server.setSecureContext(material.options)
    // Whatever node:tls keeps of them when the context is another one.
    this.#server.setTicketKeys(randomBytes(TICKET_KEY_BYTES))
    this.#byHost = material.byHost
  }

  /** @param accepted not read yet, and from now on not to be used but for being destroyed: it closes with the socket that onSecure is given */
  begin(accepted: Socket, onSecure: (client: SecuredClient) => void): void {
    const { deadlineMs = DEADLINE_MS } = this.#options
    const timer = setTimeout(() => this.#fail(accepted, timeoutFault(deadlineMs)), deadlineMs)
    const remoteAddress = accepted.remoteAddress ?? ''
    const network = clientNetworkOf(remoteAddress)
    this.#pending.set(accepted, { remoteAddress, network, timer, allowHalfOpen: accepted.allowHalfOpen, onSecure })
    // A client that ends its side before TLS is agreed on has gone: it holds no place until the deadline. The TLS socket takes this from the one below.
    accepted.allowHalfOpen = false
    // It may close because its certificate was refused: that is told in this turn.
    accepted.once('close', () => setImmediate(() => this.#fail(accepted, faultOfError('ECONNRESET'))))
    this.#places.enter(accepted, network)
  }

  #start(accepted: Socket): void {
    if (!accepted.destroyed) this.#server.emit('connection', accepted) // otherwise its 'close' is on its way
  }

  /** undefined = the certificate of the listener itself. */
  #contextFor(name: string): SecureContext | undefined {
    const host = name.toLowerCase()
    return this.#byHost.get(host) ?? this.#byHost.get(host.replace(/^[^.]+/, '*'))
  }

  #succeed(socket: TLSSocket): void {
    const accepted = rawSocketOf(socket)
    const { clientCertificates } = this.#options
    const certificate = clientCertificates === 'none' ? undefined : socket.getPeerX509Certificate()
    if (certificate && !socket.authorized) return this.#fail(accepted, faultOfCertificate(`${socket.authorizationError}`))
    // OpenSSL does not ask for the date again when a session is resumed.
    if (certificate && Date.parse(certificate.validTo) < Date.now()) return this.#fail(accepted, faultOfCertificate('CERT_HAS_EXPIRED'))
    const pending = this.#take(accepted)
    if (!pending) return void socket.destroy()
    this.#doneCount++
    socket.allowHalfOpen = pending.allowHalfOpen
    if (socket.isSessionReused()) this.#resumedCount++
    pending.onSecure({ socket, certificateSubject: certificate ? nameText(certificate.subject) : null })
  }

  #refuse(socket: TLSSocket, { code = 'unknown' }: NodeJS.ErrnoException): void {
    const { authorizationError } = socket
    this.#fail(rawSocketOf(socket), authorizationError ? faultOfCertificate(`${authorizationError}`) : faultOfError(code))
  }

  #fail(accepted: Socket, [reason, detail]: readonly [HandshakeReason, string]): void {
    const pending = this.#take(accepted)
    if (!pending) return // it was told, or it has succeeded
    this.#failed.set(reason, (this.#failed.get(reason) ?? 0) + 1)
    setImmediate(() => accepted.destroy()) // an alert that says why leaves first
    this.#options.onFailure?.({ reason, detail, remoteAddress: pending.remoteAddress })
  }

  #take(accepted: Socket): Pending | undefined {
    const pending = this.#pending.get(accepted)
    if (!pending) return undefined
    this.#pending.delete(accepted)
    clearTimeout(pending.timer)
    this.#places.leave(accepted, pending.network)
    return pending
  }
}

const rawSocketOf = (socket: TLSSocket): Socket => (socket as unknown as { _parent: Socket })._parent
