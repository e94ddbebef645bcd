// wadi group list: the consumer groups of a gateway.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { columns, print } from '../terminal.ts'
import { jsonLine, visibleCell } from '../visible-text.ts'

export const groupList: Command = {
  name: 'group list',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'The consumer groups of the gateway, with their states',
  options: [
    { name: 'state', value: 'STATE', doc: 'only those that are Empty, PreparingRebalance, CompletingRebalance or Stable' },
    { name: 'json', doc: 'JSON lines' },
    ...kafkaOptions
  ],
  examples: ['wadi group list', 'wadi group list --state Empty -b 127.0.0.1:9092'],

  async run(input) {
    const { withKafka } = await import('../kafka-admin.ts')
    const { api } = await import('../../adapters/kafka-protocol/apis.ts')
    const state = input.text('state')
    const { errorCode, groups } = await withKafka(input, (kafka) =>
      kafka.request(api.ListGroups, () => ({ statesFilter: state === undefined ? [] : [state] }))
    )
    if (errorCode !== 0) throw (await import('../group-offsets.ts')).refusal('list groups', errorCode)
    const sorted = [...groups].sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
    const rows = sorted.map(({ groupId, protocolType, groupState }) => [
      visibleCell(groupId),
      visibleCell(protocolType || null),
      groupState
    ])
    await print(
      input.flag('json')
        ? sorted.map(({ groupId: group, protocolType, groupState }) => jsonLine({ group, protocolType, state: groupState })).join('')
        : `${columns([['GROUP', 'PROTOCOL TYPE', 'STATE'], ...rows])}\n`
    )
    return EXIT.ok
  }
}
