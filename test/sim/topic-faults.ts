// Topics of the world's centre that do not take their events for a while, each in one of the ways of TOPIC_FAILURES: rights are taken away and given
// back, a leader never comes. A commit may be in doubt just then, and the centre may forget the position before the topic is cured. One may still fail when the world comes to rest: then everything else has to arrive first, and the status has
// to say why this does not. Draws from its own Prng, so that the rest of a seed's life stays as it is.
// Not for: faults of the link and of the whole centre (world.ts), what has to arrive (ledger.ts).

import type { UplinkStatus } from '../../runtime/uplink/uplink.ts'
import { Prng } from './prng.ts'
import type { SimCentre } from './sim-centre.ts'
import { TOPIC_FAILURES, type TopicFailure } from './topic-failures.ts'

const AREA = 0x746f7069 // "topi"
/** In the calm, one look a second: longer than the uplink waits before it asks again. */
const PATIENCE_LOOKS = 600

export class TopicFaults {
  readonly #prng: Prng
  readonly #isHostile: boolean
  readonly #centre: SimCentre
  readonly #names: readonly string[]
  readonly #violate: (sentence: string) => void
  readonly #mayForget: () => boolean
  #looks = 0

  /** `upstream`: every topic that may be delivered to. `mayForget`: what was delivered can be known without positions. */
  constructor(
    seed: number,
    centre: SimCentre,
    upstream: readonly (readonly [string, string, number])[],
    { violate, mayForget }: { violate(sentence: string): void; mayForget(): boolean }
  ) {
    this.#prng = new Prng(seed ^ AREA)
    this.#centre = centre
    this.#names = [...new Set(upstream.map(([, name]) => name))]
    this.#isHostile = this.#prng.chance(40)
    this.#violate = violate
    this.#mayForget = mayForget
  }

  /** At each disturbance of the world: a topic begins to fail, or is cured. */
  disturb(): void {
    const prng = this.#prng
    if (!this.#isHostile || prng.chance(40)) return
    const { failingTopics } = this.#centre
    const name = prng.pick(this.#names)
    if (failingTopics.has(name)) this.#cure(name)
    else if (prng.chance(30)) this.#failInDoubt(name)
    else failingTopics.set(name, prng.pick(Object.keys(TOPIC_FAILURES) as TopicFailure[]))
  }

  /** The answer to a commit is lost, also when it is asked for again, and the topic is taken away before its position can be read. */
  #failInDoubt(name: string): void {
    this.#centre.loseNext = {
      name: 'end',
      what: 'answer',
      times: 2,
      onLost: () => {
        this.#centre.count('topic-fails-in-doubt')
        this.#centre.failingTopics.set(name, 'no-rights')
      }
    }
  }

  #cure(name: string): void {
    if (this.#prng.chance(30) && this.#mayForget()) this.#centre.expirePosition(name)
    this.#centre.failingTopics.delete(name)
  }

  /**
   * The position and the events of every topic can be read. Else nobody may move a topic away or rename the gateway: what was delivered where cannot be
   * found then, is sent again and counted as undecided, because a topic that is not delivered to any more need not be readable (noted-offsets.ts).
   */
  get areReadable(): boolean {
    return ![...this.#centre.failingTopics.values()].some((failure) => failure === 'no-rights' || failure === 'no-read')
  }

  /** Once a second in the calm. What fails is cured when everything else has arrived. */
  look(status: UplinkStatus | undefined): void {
    const { failingTopics } = this.#centre
    if (failingTopics.size === 0 || !status) return
    const isFailing = ({ upstreamTopic }: { upstreamTopic: string }): boolean => failingTopics.has(upstreamTopic)
    const others = status.topics.filter((topic) => !isFailing(topic))
    const waiting = others.filter(({ lagEvents }) => lagEvents > 0)
    const unexplained = others.length === 0 ? [] : status.topics.filter((topic) => isFailing(topic) && isSilent(topic))
    if (waiting.length + unexplained.length > 0 && ++this.#looks < PATIENCE_LOOKS) return
    const named = [...failingTopics].map(([name, failure]) => `${name} (${failure})`).join(', ')
    for (const { edgeTopic, lagEvents } of waiting)
      this.#violate(`${lagEvents} events of ${edgeTopic} wait for ${named}, which are other topics`)
    for (const { edgeTopic } of unexplained) this.#violate(`the status does not say why nothing of ${edgeTopic} is delivered: ${named}`)
    if (others.length > 0) this.#centre.count('topic-failed-alone')
    for (const name of failingTopics.keys()) this.#cure(name)
  }
}

function isSilent({ lagEvents, stoppedBecause }: UplinkStatus['topics'][number]): boolean {
  return lagEvents > 0 && stoppedBecause === null
}
