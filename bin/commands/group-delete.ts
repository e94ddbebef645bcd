// wadi group delete: takes consumer groups away, with their offsets.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { kafkaOptions } from '../kafka-options.ts'
import { note, print } from '../terminal.ts'
import { visibleCell } from '../visible-text.ts'

export const groupDelete: Command = {
  name: 'group delete',
  operands: 'GROUP ...',
  operandsMin: 1,
  operandsMax: 1000,
  summary: 'Take consumer groups away that nobody is in, with their offsets',
  details: 'Exit code 1 when one of them stays: it has members (NON_EMPTY_GROUP), or is not there (GROUP_ID_NOT_FOUND).',
  options: [...kafkaOptions],
  examples: ['wadi group delete readers'],

  async run(input) {
    const { withKafka } = await import('../kafka-admin.ts')
    const { api } = await import('../../adapters/kafka-protocol/apis.ts')
    const { kafkaError } = await import('../../adapters/kafka-protocol/error-codes.ts')
    const { results } = await withKafka(input, (kafka) => kafka.request(api.DeleteGroups, () => ({ groupsNames: input.operands })))
    for (const { groupId, errorCode } of results) {
      if (errorCode === 0) await print(`deleted ${visibleCell(groupId)}\n`)
      else note(`${visibleCell(groupId)} stays: ${kafkaError(errorCode).name}`)
    }
    return results.every(({ errorCode }) => errorCode === 0) ? EXIT.ok : EXIT.no
  }
}
