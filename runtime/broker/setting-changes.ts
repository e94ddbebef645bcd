// IncrementalAlterConfigs without a wire: settings one by one, from what a topic was given before.
// Source: Apache Kafka, ConfigurationControlManager and ConfigAdminManager.

import { BrokerFault } from './fault.ts'
import { itemsOf, settingNamed } from './topic-settings.ts'

export interface SettingChange {
  readonly name: string
  readonly operation: 'set' | 'delete' | 'append' | 'subtract'
  readonly value: string | null
}

/**
 * What is given after `changes`. `valueNow`: what the topic has of a setting that is not given.
 * @throws BrokerFault INVALID_REQUEST when a setting is changed twice or has no value; INVALID_CONFIG when it is no list
 */
export function settingsAfter(
  given: ReadonlyMap<string, string>,
  changes: readonly SettingChange[],
  valueNow: (name: string) => string
): Map<string, string> {
  const after = new Map(given)
  const seen = new Set<string>()
  for (const { name, operation, value } of changes) {
    if (seen.has(name)) throw new BrokerFault('INVALID_REQUEST', 'Error due to duplicate config keys')
    seen.add(name)
    if (operation === 'delete') {
      after.delete(name)
      continue
    }
    if (value === null) throw new BrokerFault('INVALID_REQUEST', `Null value not supported for : ${name}`)
    if (operation === 'set') {
      after.set(name, value)
      continue
    }
    const setting = settingNamed(name)
    if (setting?.type !== 'list') throw new BrokerFault('INVALID_CONFIG', `Can't ${operation} to key ${name} because its type is not LIST`)
    const before = itemsOf(after.get(name) ?? valueNow(name))
    const items = itemsOf(value)
    const kept = operation === 'append' ? [...new Set([...before, ...items])] : before.filter((item) => !items.includes(item))
    after.set(name, kept.join(','))
  }
  return after
}
