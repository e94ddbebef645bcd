// Proves for Core.commit, verifyCommit and readFrames: what goes into a commit comes out of it, what does not fit is refused
// before a byte is written, no truncated or damaged block verifies, and frames that lie are a RangeError.
import t from 'tap'
import { viewOf } from '../../runtime/core/batch-header.ts'
import { COMMIT_CRC_AT, COMMIT_PAYLOAD_AT, type CommitFrame, readFrames } from '../../runtime/core/commit-frames.ts'
import type { CommitHeader, Core } from '../../runtime/core/core.ts'
import type { RecordInput } from '../../runtime/core/record.ts'
import { loadTestCore } from '../helpers/core.ts'
import { randomRecord, randomRecords } from '../helpers/random-records.ts'
import { numbered, oracleBatch } from '../oracle/batch.ts'
import { oracleCrc32c } from '../oracle/crc32c.ts'
import { Prng, seeds } from '../sim/prng.ts'

const text = (value: string) => Buffer.from(value)
const frame = { topicNumber: 7, partitionIndex: 3, baseOffset: 100 }
const record = { timestampMs: 1, key: text('k'), value: text('v'), headers: [] }

/** A batch of `records` in the core's pool. */
function pooled({ pool }: Core, records: readonly RecordInput[]): number {
  const batch = pool.openBatch()
  if (batch === null) throw new Error('the pool has no place for a batch')
  for (const one of records) if (!pool.addRecord(batch, one)) throw new Error('the pool is full')
  return batch
}

for (const build of ['debug', 'release'] as const) {
  const core = loadTestCore(build)

  for (const seed of seeds({ count: 12 })) {
    t.test(`${build}: frames come back as they went in (replay with SEED=${seed})`, async (t) => {
      const prng = new Prng(seed)
      const { commit } = core
      const expected: CommitFrame[] = []
      commit.begin()
      for (let count = prng.below(20); count > 0; count--) {
        const place = { topicNumber: prng.uint32(), partitionIndex: prng.below(65_536), baseOffset: prng.below(2 ** 50) }
        const { topicNumber, partitionIndex, baseOffset } = place
        const records = randomRecords(prng, 20)
        const batch = oracleBatch(numbered(records, baseOffset), { baseOffset })
        if (prng.chance(40)) {
          core.pool.clear()
          t.same(Buffer.from(commit.addPooled(place, pooled(core, records)) ?? []), Buffer.from(batch))
          expected.push({ kind: 'batch', topicNumber, partitionIndex, batch })
        } else if (prng.chance(50)) {
          t.ok(commit.addBatch(place, oracleBatch(numbered(records, 0), { baseOffset: 0 })))
          expected.push({ kind: 'batch', topicNumber, partitionIndex, batch })
        } else {
          const key = `area/${'ü'.repeat(prng.below(100))}`
          const value = prng.chance(30) ? null : prng.bytes(prng.below(3000))
          t.ok(commit.addState(text(key), value))
          expected.push({ kind: 'state', key, value })
        }
      }
      const sequence = prng.below(2 ** 53)
      const generation = prng.uint32()
      const block = commit.finish({ generation, sequence }).slice()
      commit.release()
      const header = core.readCommitHeader(block) as CommitHeader
      t.match(header, { generation, sequence, frameCount: expected.length, blockBytes: block.length })
      t.equal(block.length % 4096, 0)
      t.ok(
        block.subarray(COMMIT_PAYLOAD_AT + header.payloadBytes).every((byte) => byte === 0),
        'padding is zero'
      )
      t.ok(core.verifyCommit(block))
      t.ok(core.verifyCommit(Buffer.concat([block, Buffer.alloc(100, 1)])), 'what follows does not matter')
      t.same([...readFrames(block, header)], expected)
      const covered = Buffer.concat([
        block.subarray(0, COMMIT_CRC_AT),
        block.subarray(COMMIT_PAYLOAD_AT, COMMIT_PAYLOAD_AT + header.payloadBytes)
      ])
      t.equal(viewOf(block).getUint32(COMMIT_CRC_AT), oracleCrc32c(covered), 'the CRC stands where the format says')
    })
  }

  t.test(`${build}: no truncated block verifies, no flipped bit does`, async (t) => {
    core.pool.clear()
    core.commit.begin()
    core.commit.addPooled(frame, pooled(core, [{ ...record, value: new Uint8Array(4500).fill(3) }]))
    core.commit.addState(text('a/b'), text('value'))
    const block = core.commit.finish({ generation: 1, sequence: 2 }).slice()
    core.commit.release()
    const usedBytes = COMMIT_PAYLOAD_AT + (core.readCommitHeader(block)?.payloadBytes ?? 0)
    for (let length = 0; length < block.length; length++) {
      if (core.verifyCommit(block.subarray(0, length))) t.fail(`${length} bytes verify`)
    }
    for (let at = 0; at < usedBytes; at++) {
      const flipped = block.slice()
      flipped[at] = (block[at] as number) ^ (1 << (at & 7))
      if (core.verifyCommit(flipped)) t.fail(`byte ${at} may be damaged`)
    }
    for (let bit = 0; bit < COMMIT_PAYLOAD_AT * 8; bit++) {
      const flipped = block.slice()
      flipped[bit >> 3] = (block[bit >> 3] as number) ^ (1 << (bit & 7))
      if (core.verifyCommit(flipped)) t.fail(`bit ${bit} of the header may be damaged`)
    }
    for (let cut = 512; cut < usedBytes; cut += 512) {
      const torn = block.slice()
      torn.fill(0, cut)
      if (core.verifyCommit(torn)) t.fail(`torn at ${cut} verifies`)
    }
    t.ok(core.verifyCommit(block), 'undamaged it does')
    t.notOk(core.verifyCommit(new Uint8Array(8192)), 'zeros are no block')
    t.equal(core.readCommitHeader(new Uint8Array(8192)), null)
  })

  t.test(`${build}: what does not fit is refused and the commit stays good`, async (t) => {
    const { commit } = core
    commit.begin()
    const atFirst = commit.bytesLeft
    t.ok(atFirst > core.commitBytesMax - 100 && atFirst < core.commitBytesMax)
    t.notOk(commit.addState(text('k'), new Uint8Array(atFirst)))
    t.notOk(commit.addBatch(frame, new Uint8Array(atFirst)))
    t.notOk(commit.addState(text('k'), new Uint8Array(core.commitBytesMax * 2)))
    t.equal(commit.bytesLeft, atFirst, 'a refusal takes no room')
    core.pool.clear()
    t.equal(commit.addPooled(frame, pooled(core, [{ ...record, value: new Uint8Array(atFirst) }])), null)
    t.equal(commit.bytesLeft, atFirst)

    const prng = new Prng(1)
    core.pool.clear()
    const records = Array.from({ length: 400 }, () => randomRecord(prng, 5000))
    t.ok(commit.addPooled(frame, pooled(core, records)))
    t.ok(commit.addState(text('k'), new Uint8Array(commit.bytesLeft - 13)), 'the rest fits exactly')
    t.equal(commit.bytesLeft, 0)
    t.equal(commit.addPooled(frame, pooled(core, [record])), null, 'a commit without room takes no batch')
    const block = commit.finish({ generation: 0, sequence: 0 }).slice()
    commit.release()
    t.equal(block.length, core.commitBytesMax)
    t.ok(core.verifyCommit(block))
    const frames = [...readFrames(block, core.readCommitHeader(block) as CommitHeader)]
    t.same(
      frames.map((one) => one.kind),
      ['batch', 'state']
    )
    t.equal(frames[0]?.kind === 'batch' ? core.checkBatch(frames[0].batch) : 'none', null)
  })
}

const core = loadTestCore()

t.test('an empty commit is the 4096 bytes that the format shows', async (t) => {
  core.commit.begin()
  const block = core.commit.finish({ generation: 1, sequence: 2 }).slice()
  const shown = '5741444300010000000000010000000000000000000000020000000000000000' + '00000000d9e70ff5'
  t.equal(Buffer.from(block.subarray(0, 40)).toString('hex'), shown)
  core.commit.release()
  t.equal(block.length, 4096)
  t.ok(core.verifyCommit(block))
  t.same([...readFrames(block, core.readCommitHeader(block) as CommitHeader)], [])
})

t.test('an impossible header is no block even when its CRC is right', async (t) => {
  core.commit.begin()
  core.commit.addState(text('k'), null)
  const block = core.commit.finish({ generation: 1, sequence: 2 }).slice()
  core.commit.release()
  const isBlock = (change: (view: DataView) => void) => {
    const copy = block.slice()
    const view = viewOf(copy)
    change(view)
    const payload = copy.subarray(COMMIT_PAYLOAD_AT, COMMIT_PAYLOAD_AT + view.getUint32(24))
    view.setUint32(COMMIT_CRC_AT, oracleCrc32c(Buffer.concat([copy.subarray(0, COMMIT_CRC_AT), payload])))
    return core.verifyCommit(copy)
  }
  t.ok(isBlock(() => {}))
  t.notOk(
    isBlock((view) => view.setUint8(0, 0x58)),
    'magic'
  )
  t.notOk(
    isBlock((view) => view.setUint16(4, 2)),
    'version'
  )
  t.notOk(
    isBlock((view) => view.setUint16(6, 1)),
    'flags'
  )
  t.notOk(
    isBlock((view) => view.setUint32(12, 1)),
    'first reserved field'
  )
  t.notOk(
    isBlock((view) => view.setUint32(32, 1)),
    'second reserved field'
  )
  t.notOk(
    isBlock((view) => view.setUint32(16, 0x200000)),
    'sequence'
  )
  t.notOk(
    isBlock((view) => view.setUint32(24, core.commitBytesMax)),
    'payload larger than a commit'
  )
  t.notOk(
    isBlock((view) => view.setUint32(24, 5000)),
    'payload larger than what is there'
  )
})

t.test('the order of calls is asserted', async (t) => {
  const other = loadTestCore()
  const { commit } = other
  const batch = pooled(other, [record])
  t.throws(() => commit.addPooled(frame, batch), { name: 'AssertionError' })
  t.throws(() => commit.finish({ generation: 0, sequence: 0 }), { name: 'AssertionError' })
  commit.begin()
  t.ok(commit.addPooled(frame, batch))
  t.throws(() => commit.addState(new Uint8Array(0), null), RangeError)
  t.throws(() => commit.addState(new Uint8Array(256), null), RangeError)
  commit.finish({ generation: 0, sequence: 0 })
  t.throws(() => commit.begin(), { name: 'AssertionError' }, 'pinned until release')
  commit.release()
  commit.begin()
})

t.test('a pinned commit does not change while the core works', async (t) => {
  core.pool.clear()
  core.commit.begin()
  core.commit.addPooled(frame, pooled(core, [record]))
  const view = core.commit.finish({ generation: 1, sequence: 1 })
  const before = Buffer.from(view)
  const large = new Prng(2).bytes(core.batchBytesMax)
  core.lz4Decompress(core.lz4Compress(large), core.batchBytesMax)
  core.crc32c(large)
  const batch = core.buildBatch([{ ...record, value: large.subarray(1000) }], { baseOffset: 0 })
  core.repack.beginSeal({ bytesMax: core.batchBytesMax })
  core.repack.add(batch, { fromOffset: 0, untilOffset: 1 })
  core.repack.finish()
  core.pool.clear()
  pooled(
    core,
    Array.from({ length: 20 }, () => ({ ...record, value: large.subarray(0, 90_000) }))
  )
  t.ok(before.equals(view))
  core.commit.release()
})

t.test('frames that lie under a right CRC are a RangeError', async (t) => {
  core.pool.clear()
  core.commit.begin()
  core.commit.addPooled(frame, pooled(core, [record]))
  core.commit.addState(text('key'), text('value'))
  const block = core.commit.finish({ generation: 1, sequence: 1 }).slice()
  core.commit.release()
  const header = core.readCommitHeader(block) as CommitHeader
  const stateAt = COMMIT_PAYLOAD_AT + header.payloadBytes - 8 - 12
  const read = (change: (view: DataView) => void, other: Partial<CommitHeader> = {}) => {
    const copy = block.slice()
    change(viewOf(copy))
    return () => [...readFrames(copy, { ...header, ...other })]
  }
  t.equal(read(() => {})().length, 2)
  t.throws(
    read((view) => view.setUint8(COMMIT_PAYLOAD_AT, 3)),
    RangeError,
    'unknown kind'
  )
  t.throws(
    read((view) => view.setUint32(COMMIT_PAYLOAD_AT + 8, 0xffffffff)),
    RangeError,
    'endless batch'
  )
  t.throws(
    read((view) => view.setUint32(stateAt + 4, 6)),
    RangeError,
    'value too long'
  )
  t.throws(
    read((view) => view.setUint8(stateAt + 1, 255)),
    RangeError,
    'key too long'
  )
  t.throws(
    read((view) => view.setUint8(stateAt + 1, 0)),
    RangeError,
    'no key'
  )
  t.throws(
    read((view) => view.setUint16(stateAt + 2, 1)),
    RangeError,
    'deleted with a value'
  )
  t.throws(
    read((view) => view.setUint16(stateAt + 2, 2)),
    RangeError,
    'unknown flag'
  )
  t.throws(
    read((view) => view.setUint8(stateAt + 12, 0xff)),
    RangeError,
    'key is not UTF-8'
  )
  t.throws(
    read(() => {}, { frameCount: 3 }),
    RangeError,
    'a frame is missing'
  )
  t.throws(
    read(() => {}, { frameCount: 1 }),
    RangeError,
    'a frame too many'
  )
  t.throws(
    read(() => {}, { payloadBytes: 5000 }),
    RangeError,
    'payload behind the end'
  )
  const prng = new Prng(3)
  for (let round = 0; round < 2000; round++) {
    const damage = read((view) => {
      for (let i = 3; i > 0; i--) view.setUint8(COMMIT_PAYLOAD_AT + prng.below(header.payloadBytes), prng.below(256))
    })
    try {
      damage()
    } catch (error) {
      if (!(error instanceof RangeError)) t.fail(String(error))
    }
  }
})
