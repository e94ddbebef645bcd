// Proves for leader epochs: every stored batch names the start that wrote it, before and behind the seal, and a reader that comes from an older image of
// the disk is told where what it has read ends; one that has nothing to fear is told nothing.

import t from 'tap'
import { Fetches } from '../../runtime/broker/fetch.ts'
import { LeaderEpochs } from '../../runtime/broker/leader-epochs.ts'
import { listOffset } from '../../runtime/broker/list-offsets.ts'
import { ProducerStates } from '../../runtime/broker/partition-producers.ts'
import type { Partition } from '../../runtime/log/contract.ts'
import type { LogStore } from '../../runtime/log/log-store.ts'
import { appendText, SimMachine } from '../helpers/sim-store.ts'

class Rig {
  readonly machine = new SimMachine(1)
  store!: LogStore
  partition!: Partition
  epochs!: LeaderEpochs
  #sent = 0

  async start(count: number): Promise<void> {
    this.store = await this.machine.open()
    const topic = this.store.topics.get('t') ?? (await this.machine.settle(this.store.createTopic('t')))
    this.partition = topic.partitions[0] as Partition
    this.epochs = new LeaderEpochs(this.store)
    for (let at = 0; at < count; at++) await this.machine.settle(appendText(this.store, this.partition, `event ${this.#sent++}`))
  }

  async stop(): Promise<void> {
    await this.machine.settle(this.store.close())
    this.machine.kill()
  }

  /** [epoch, first offset] of each batch. */
  async batches(): Promise<[number, number][]> {
    const found: [number, number][] = []
    for (let offset = this.partition.logStartOffset; offset < this.partition.highWatermark; ) {
      const { batches, nextOffset } = await this.machine.settle(this.partition.read(offset, { bytesMax: 2 ** 20 }))
      found.push(...batches.map(({ header }): [number, number] => [header.partitionLeaderEpoch, header.baseOffset]))
      offset = nextOffset
    }
    return found
  }

  ends(...asked: number[]): [number, number][] {
    return asked.map((epoch) => {
      const { leaderEpoch, endOffset } = this.epochs.endOf(this.partition, epoch)
      return [leaderEpoch, endOffset]
    })
  }
}

t.test('each start writes its number, and what two starts wrote is not sealed into one batch', async (t) => {
  const rig = new Rig()
  await rig.start(3)
  rig.machine.powerCut()
  await rig.start(4)
  const inTail = await rig.batches()
  t.same([...new Set(inTail.map(([epoch]) => epoch))], [1, 2])
  t.same(inTail.find(([epoch]) => epoch === 2)?.[1], 3)
  await rig.machine.settle(rig.store.flush())
  t.same(
    await rig.batches(),
    [
      [1, 0],
      [2, 3]
    ],
    'sealed'
  )
  await rig.stop()
  await rig.start(0)
  await rig.stop()
  await rig.start(1)
  t.same((await rig.batches()).at(-1), [4, 7], 'a start that wrote nothing is in no batch')
  t.same(rig.ends(1, 2, 3, 4), [
    [1, 3],
    [2, 7],
    [2, 7],
    [4, 8]
  ])
  t.same(rig.ends(0, -1, 5), [
    [0, 8],
    [-1, -1],
    [-1, -1]
  ])
  t.same([rig.epochs.at(rig.partition, 0), rig.epochs.at(rig.partition, 6), rig.epochs.at(rig.partition, 7)], [1, 2, 4])
})

t.test('a reader of a disk that an older image replaced', async (t) => {
  const rig = new Rig()
  await rig.start(10)
  await rig.stop()
  const image = rig.machine.disk.takeImage()
  await rig.start(15) // start 2: offsets 10 to 24, which a consumer reads
  await rig.stop()
  rig.machine.disk.putBack(image)
  await rig.start(0)
  await rig.stop()
  await rig.start(40) // start 3 of the image: other events at 10 and behind
  t.equal(rig.store.incarnation, 3)
  t.same(rig.ends(2), [[1, 10]], 'its epoch wrote nothing here: what it has read ends at 10')
  t.equal(rig.epochs.faultOf(2), 'FENCED_LEADER_EPOCH', 'it asks for metadata, and then for this')
  t.same(
    [-1, 3, 9].map((epoch) => rig.epochs.faultOf(epoch)),
    ['NONE', 'NONE', 'NONE'],
    'a higher one would wait for ever'
  )
})

t.test('Fetch and ListOffsets send an older epoch to the metadata, and name the epoch of an offset', async (t) => {
  const rig = new Rig()
  await rig.start(3)
  await rig.stop()
  await rig.start(3)
  const producers = new ProducerStates(rig.store)
  const fetches = new Fetches({ producers, clock: rig.machine.clock, leaderEpochs: rig.epochs })
  const faultOf = async (leaderEpoch: number): Promise<string | undefined> => {
    const place = { topicName: 't', partitionIndex: 0, fetchOffset: 0, bytesMax: 1, leaderEpoch }
    const request = { places: [place], isolation: 'read_committed' as const, maxWaitMs: 0, bytesMin: 1, bytesMax: 1 }
    return (await rig.machine.settle(fetches.fetch(request)))[0]?.fault
  }
  t.same([await faultOf(-1), await faultOf(1), await faultOf(2), await faultOf(3)], ['NONE', 'FENCED_LEADER_EPOCH', 'NONE', 'NONE'])
  const list = (timestamp: number, leaderEpoch = -1) =>
    rig.machine.settle(
      listOffset(
        { producers, leaderEpochs: rig.epochs },
        { topicName: 't', partitionIndex: 0, timestamp, leaderEpoch, isolation: 'read_committed' }
      )
    )
  t.match(await list(-2), { offset: 0, leaderEpoch: 1 })
  t.match(await list(-1), { offset: 6, leaderEpoch: 2 })
  t.match(await list(-1, 1), { fault: 'FENCED_LEADER_EPOCH', offset: -1 })
})
