// MQTT sessions for operators: over the control socket (`wadi session`), and for programs that embed the gateway. What is asked for is checked here, and what is not there is
// said in words. Not for: sessions themselves (adapters/mqtt/).

import type { ControlHandler } from '../adapters/control/control-server.ts'
import type { MqttBroker } from '../adapters/mqtt/mqtt-broker.ts'
import { matchesPattern, type SessionDetail, type SessionFacts, type SessionQuery } from '../adapters/mqtt/session-facts.ts'
import { WadiError } from '../runtime/base/errors.ts'
import { nearestWord } from './config/suggest.ts'
import type { Log } from './log.ts'

/** Sessions in one line of an answer. */
const PAGE_SESSIONS = 100
/** More client ids, and longer ones, are not looked through for the one that was meant. */
const SUGGESTED_FROM_MAX = 1_000
const SUGGESTED_CHARACTERS_MAX = 40

export class SessionDesk {
  readonly #sessions: MqttBroker['sessions']
  readonly #log: Log

  constructor({ sessions }: Pick<MqttBroker, 'sessions'>, log: Log) {
    this.#sessions = sessions
    this.#log = log
  }

  /** For the socket that a group may have. */
  get lookHandlers(): Record<string, ControlHandler> {
    return {
      sessions: async ({ parameters, send }) => {
        let page: SessionFacts[] = []
        for await (const facts of this.list(readQuery(parameters))) {
          page.push(facts)
          if (page.length < PAGE_SESSIONS) continue
          if (!(await send(page))) return
          page = []
        }
        if (page.length > 0) await send(page)
      },
      session: async ({ parameters, send }) => void (await send(await this.describe(clientIdOf(parameters))))
    }
  }

  /** For the owner's. */
  get changeHandlers(): Record<string, ControlHandler> {
    return {
      'end-session': async ({ parameters, send }) => void (await send(await this.end(clientIdOf(parameters))))
    }
  }

  /** @throws WadiError WADI_USAGE at the first step when the topic of the query is a filter */
  async *list(query: SessionQuery = {}): AsyncGenerator<SessionFacts, void, void> {
    if (query.topic !== undefined && /[+#]/.test(query.topic)) {
      const happened = `"${query.topic}" is a filter, and sessions are looked for by a topic that they get.`
      throw usage(happened, 'Name one topic, as a device publishes to it: plant/press/temp.')
    }
    yield* this.#sessions.list(query)
  }

  /** @throws WadiError WADI_SESSION_UNKNOWN */
  async describe(clientId: string): Promise<SessionDetail> {
    return this.#sessions.find(clientId) ?? (await this.#refuseUnknown(clientId))
  }

  /** @throws WadiError WADI_SESSION_UNKNOWN, or what storage says: then the session has ended, and that is not durable yet */
  async end(clientId: string): Promise<SessionDetail> {
    const ended = await this.#sessions.end(clientId).catch((error: unknown) => {
      throw error instanceof WadiError ? notDurable(clientId, error) : error
    })
    if (ended === null) return this.#refuseUnknown(clientId)
    const { subscriptions, queuedMessages, remoteAddress } = ended
    const had = `${subscriptions} subscriptions and ${queuedMessages} messages that waited`
    this.#log('info', `ended the session of ${clientId}, as it was asked to, with ${had}`, {
      clientId,
      subscriptions,
      queuedMessages,
      remoteAddress
    })
    return ended
  }

  /** With what is likely to have been meant. */
  async #refuseUnknown(clientId: string): Promise<never> {
    const clientIds: string[] = []
    let matching = 0
    for await (const { clientId: known } of this.#sessions.list({})) {
      if (matchesPattern(known, clientId)) matching++
      if (clientIds.length < SUGGESTED_FROM_MAX && known.length <= SUGGESTED_CHARACTERS_MAX) clientIds.push(known)
    }
    throw unknownSession(clientId, {
      matching,
      near: clientId.length <= SUGGESTED_CHARACTERS_MAX ? nearestWord(clientId, clientIds) : null
    })
  }
}

function unknownSession(clientId: string, { matching, near }: { matching: number; near: string | null }): WadiError {
  const meant = near === null ? '' : ` Did you mean ${JSON.stringify(near)}?`
  const asPattern = `A whole client id is wanted; as a pattern it is that of ${matching === 1 ? 'one session' : `${matching} sessions`}: "wadi session list" takes it.`
  return new WadiError('WADI_SESSION_UNKNOWN', {
    happened: `There is no MQTT session of the client ${JSON.stringify(clientId)}.`,
    kept: 'Nothing was changed.',
    next: matching > 0 ? asPattern : `"wadi session list" has those that there are; capitals and spaces count.${meant}`,
    facts: { clientId }
  })
}

function notDurable(clientId: string, cause: WadiError): WadiError {
  return new WadiError(cause.code, {
    happened: `The session of ${JSON.stringify(clientId)} has ended, and that could not be written down: ${cause.story.happened}`,
    kept: 'All events. It is written down as soon as it can be; a kill or power cut before that brings the session back.',
    next: cause.story.next,
    cause
  })
}

function readQuery({ pattern, topic, isConnected }: Readonly<Record<string, unknown>>): SessionQuery {
  return {
    ...(typeof pattern === 'string' && { pattern }),
    ...(typeof topic === 'string' && { topic }),
    ...(typeof isConnected === 'boolean' && { isConnected })
  }
}

function clientIdOf({ clientId }: Readonly<Record<string, unknown>>): string {
  if (typeof clientId === 'string') return clientId
  throw usage('A request for a session names no client id.', 'Send {"command":"session","clientId":"…"}.')
}

function usage(happened: string, next: string): WadiError {
  return new WadiError('WADI_USAGE', { happened, kept: 'Nothing was changed.', next })
}
