// Proves: a power cut while the journal files are being filled is no loss, and none is reported. Canary in test/sim/canaries.ts.

import t from 'tap'
import type { Partition } from '../../runtime/log/contract.ts'
import { KIB } from '../../runtime/log/settings.ts'
import { appendText, readAll, SimMachine } from '../helpers/sim-store.ts'

const settings = { journalFileBytes: 4096 * KIB, journalFirstFillBytes: 36 * KIB }

t.test('a power cut in the middle of filling: everything is there, and nothing is called lost', async (t) => {
  let cutInTheMiddle = 0
  for (let seed = 1; seed <= 20; seed++) {
    const machine = new SimMachine(seed, { settings, disk: { delayMs: { min: 2, max: 6 } } })
    let store = await machine.open()
    await machine.settle(store.createTopic('telemetry'))
    let total = 0
    for (let life = 0; life < 3; life++) {
      const partition = store.topics.get('telemetry')?.partitions[0] as Partition
      for (let i = 0; i < 3 + (seed % 12); i++) {
        await machine.settle(appendText(store, partition, `event ${total++} `))
        if (i === 2) await machine.settle(store.flush())
      }
      const sizes = machine.disk.files().flatMap(({ path, bytes }) => (path.endsWith('.journal') ? [bytes.byteLength] : []))
      if (sizes.some((size) => size < settings.journalFileBytes)) cutInTheMiddle++
      machine.powerCut()
      store = await machine.open()
      t.same(store.report.damagedFiles, [], `seed ${seed}: no file is called damaged`)
      t.notMatch(store.report.notes.join('\n'), /lost/, `seed ${seed}: nothing is called lost`)
      t.equal(store.report.missingCommits, 0)
      const recovered = store.topics.get('telemetry')?.partitions[0] as Partition
      t.equal((await machine.settle(readAll(recovered))).length, total, `seed ${seed}: everything is there`)
    }
  }
  t.ok(cutInTheMiddle > 10, `${cutInTheMiddle} cuts came while a file was being filled`)
})
