// Mutations of what makes MQTT sessions durable: each breaks one promise in one place. subscriber-sessions.test.ts demands that each is noticed.

import { Outbox, type QueueKeeper } from '../../adapters/mqtt/outbox.ts'
import { PacketReader } from '../../adapters/mqtt/packet-reader.ts'
import { RetainedMessages } from '../../adapters/mqtt/retained-messages.ts'
import { type FoundSession, type FoundSessions, SessionStore } from '../../adapters/mqtt/session-store.ts'
import { Subscriptions } from '../../adapters/mqtt/subscriptions.ts'
import { storedWills } from '../../adapters/mqtt/wills.ts'
import { PublishLane } from '../../runtime/broker/publish-lane.ts'
import type { SubscriberMutation } from './subscriber-sessions.ts'

/** QoS 2 towards subscribers: what has to be durable before a packet leaves is written, and not waited for. */
function leavesEarly(what: 'PUBLISH' | 'PUBREL'): SubscriberMutation {
  return {
    install: () => {
      const { receive, keepWith } = Outbox.prototype
      let isPubrec = false
      Outbox.prototype.receive = function (packetId, reasonCode) {
        isPubrec = true
        const isKnown = receive.call(this, packetId, reasonCode)
        isPubrec = false
        return isKnown
      }
      Outbox.prototype.keepWith = function (keeper) {
        const note: QueueKeeper['note'] = (done) => {
          if (isPubrec !== (what === 'PUBREL')) return keeper.note(done)
          keeper.note(() => undefined)
          done(true)
        }
        const load: QueueKeeper['load'] = (places) => keeper.load(places)
        const deliveryOf: QueueKeeper['deliveryOf'] = (logged) => keeper.deliveryOf(logged)
        keepWith.call(this, { read: (number) => keeper.read(number), load, deliveryOf, changed: () => keeper.changed(), note })
      }
    }
  }
}

/** A start finds something else than what was written down. */
function finds(change: (found: FoundSessions) => FoundSessions): SubscriberMutation {
  return {
    install: () => {
      const { load } = SessionStore.prototype
      SessionStore.prototype.load = function (onDamage) {
        return change(load.call(this, onDamage))
      }
    }
  }
}

function* eachOf(sessions: Iterable<FoundSession>, change: Partial<FoundSession>): Generator<FoundSession> {
  for (const session of sessions) yield { ...session, ...change }
}

export const subscriberCanaries: Record<string, SubscriberMutation> = {
  'the fast lane goes on past somebody who has subscribed': {
    install: () => {
      PublishLane.prototype.forgetMatching = () => undefined
    }
  },
  'packets lie in memory that the next read overwrites': {
    install: () => {
      PacketReader.prototype.own = () => undefined
    }
  },
  'SUBACK leaves before the subscription is durable': {
    install: () => {
      const { persist } = SessionStore.prototype
      SessionStore.prototype.persist = function (session, done) {
        if (!session.kept || session.kept.changedFilters.size === 0) return persist.call(this, session, done)
        persist.call(this, session, () => undefined)
        done(null)
      }
    }
  },
  'a restart forgets what waits': finds(({ sessions, ...rest }) => ({
    ...rest,
    sessions: eachOf(sessions, { left: new Float64Array(0), flights: [] })
  })),
  'PUBLISH of QoS 2 leaves before its packet id is durable': leavesEarly('PUBLISH'),
  'PUBREL leaves before it is durable that the client has the message': leavesEarly('PUBREL'),
  'a session that has ended is there again after a restart': {
    install: () => {
      const { forget } = SessionStore.prototype
      SessionStore.prototype.forget = function (session) {
        session.kept = null
        return forget.call(this, session)
      }
    }
  },
  'a start looks through the log from too far on': finds((found) => ({
    ...found,
    queuedTo: ({ highWatermark }) => highWatermark
  })),
  'a start looks through the log from too far back': finds(({ sessions, ...rest }) => ({
    ...rest,
    sessions: eachOf(sessions, { queued: new Map(), ahead: new Map() }),
    queuedTo: () => 0
  })),
  'a client is sent one message more than it takes': {
    install: () => {
      const { attach } = Outbox.prototype
      Outbox.prototype.attach = function (link, receiveMaximum) {
        attach.call(this, link, receiveMaximum + 1)
      }
    }
  },
  'no-local is not looked at': {
    install: () => {
      const { deliver } = Subscriptions.prototype
      Subscriptions.prototype.deliver = function (message) {
        deliver.call(this, message, null)
      }
    }
  },
  'a will that was sent, or taken back, stays in the state': {
    install: () => {
      storedWills.remove = () => ({ key: 'mqtt.will/nobody/0', value: null })
    }
  },
  'retained messages are forgotten at a restart': {
    install: () => {
      RetainedMessages.prototype.load = () => undefined as never
    }
  }
}
