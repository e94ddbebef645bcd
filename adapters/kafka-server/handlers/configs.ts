// DescribeConfigs, AlterConfigs and IncrementalAlterConfigs: topics have settings that clients read and alter, the broker has some that they read.
// Source: Apache Kafka, ConfigHelper and ConfigAdminManager.

import { topicNameFault } from '../../../runtime/base/topic-names.ts'
import { BrokerFault, type FaultName } from '../../../runtime/broker/fault.ts'
import type { SettingChange } from '../../../runtime/broker/setting-changes.ts'
import type { NewSettings } from '../../../runtime/broker/topics.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type {
  AlterConfigsRequest,
  AlteredConfigs,
  DescribeConfigsRequest,
  DescribeConfigsResponse,
  DescribedConfig,
  IncrementalAlterConfigsRequest
} from '../../kafka-protocol/messages/configs.ts'
import { Breaths } from '../breaths.ts'
import { brokerConfigs } from '../broker-configs.ts'
import { type ConfigEntry, topicConfigs } from '../configs.ts'
import type { Handler, RequestContext } from '../context.ts'
import { distinct, repeated } from '../distinct.ts'
import { errorCodeOf, refusalOf } from '../error-map.ts'

const RESOURCE_TOPIC = 2
const RESOURCE_BROKER = 4
const ALL_BROKERS = ''
/** About what the settings of one topic, or of the broker, take in an answer, with synonyms and documentation. */
const DESCRIBED_BYTES = 12 * 1024
const OPERATIONS: readonly SettingChange['operation'][] = ['set', 'delete', 'append', 'subtract']

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

const keyOf = ({ resourceType, resourceName }: Resource): string => `${resourceType}/${resourceName}`

export const handleDescribeConfigs: Handler<DescribeConfigsRequest, DescribeConfigsResponse> = async (request, context) => {
  const resources = distinct(request.resources, keyOf)
  await context.reserveAnswer(resources.length * DESCRIBED_BYTES)
  const results: Draft<DescribeConfigsResponse['results'][number]>[] = []
  const breaths = new Breaths()
  for (const resource of resources) {
    await breaths.next()
    const entries = entriesOf(resource, context)
    const { resourceType, resourceName, configurationKeys: keys } = resource
    if (typeof entries === 'string') {
      const errorMessage = `no settings of resource type ${resourceType} named "${resourceName}"`
      results.push({ errorCode: errorCodeOf(entries), errorMessage, resourceType, resourceName, configs: [] })
      continue
    }
    const wanted = keys === null || keys.length === 0 ? null : new Set(keys)
    const configs = entries.filter(({ name }) => wanted?.has(name) ?? true).map((entry) => describe(entry, request))
    results.push({ errorCode: 0, errorMessage: null, resourceType, resourceName, configs })
  }
  return { results }
}

function entriesOf({ resourceType, resourceName }: Resource, context: RequestContext): readonly ConfigEntry[] | FaultName {
  const { broker, node } = context
  if (resourceType === RESOURCE_TOPIC) {
    if (topicNameFault(resourceName)) return 'INVALID_TOPIC_EXCEPTION'
    const topic = broker.topics.find(resourceName)
    return topic ? topicConfigs(topic, broker.settings) : 'UNKNOWN_TOPIC_OR_PARTITION'
  }
  if (resourceType !== RESOURCE_BROKER) return 'INVALID_REQUEST'
  if (resourceName === ALL_BROKERS) return [] // what was set for all of them while they run: nothing can be
  return resourceName === String(node.nodeId) ? brokerConfigs(context) : 'INVALID_REQUEST'
}

function describe(
  { name, value, readOnly, configSource, configType, synonyms, documentation }: ConfigEntry,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest
): Draft<DescribedConfig> {
  return {
    name,
    value,
    readOnly,
    configSource,
    isSensitive: false,
    synonyms: includeSynonyms ? synonyms : [],
    configType,
    documentation: includeDocumentation ? documentation : null
  }
}

/** What a topic is not given is at its default again. */
export const handleAlterConfigs: Handler<AlterConfigsRequest, AlteredConfigs> = ({ resources, validateOnly }, context) =>
  alterAll(resources, { validateOnly, context }, ({ configs }) => {
    const all = new Map(configs.map(({ name, value }) => [name, value]))
    if (all.size < configs.length) throw new BrokerFault('INVALID_REQUEST', 'Error due to duplicate config keys')
    return { all }
  })

export const handleIncrementalAlterConfigs: Handler<IncrementalAlterConfigsRequest, AlteredConfigs> = (
  { resources, validateOnly },
  context
) =>
  alterAll(resources, { validateOnly, context }, ({ configs }) => ({
    changes: configs.map(({ name, configOperation, value }) => {
      const operation = OPERATIONS[configOperation]
      if (!operation) throw new BrokerFault('INVALID_REQUEST', `Unknown operation type ${configOperation}`)
      return { name, operation, value }
    })
  }))

/** One behind the other. One that cannot be altered does not keep the others. */
async function alterAll<R extends Resource>(
  resources: readonly R[],
  { validateOnly, context }: { validateOnly: boolean; context: RequestContext },
  settingsOf: (resource: R) => NewSettings
): Promise<Draft<AlteredConfigs>> {
  const twice = repeated(resources, keyOf)
  const responses: Draft<AlteredConfigs['responses'][number]>[] = []
  const breaths = new Breaths()
  for (const resource of distinct(resources, keyOf)) {
    await breaths.next()
    const { resourceType, resourceName } = resource
    try {
      if (twice.has(keyOf(resource))) throw new BrokerFault('INVALID_REQUEST', 'the resource is named twice')
      checkResource(resource, context)
      await context.broker.topics.alterSettings(resourceName, settingsOf(resource), { validateOnly })
      responses.push({ errorCode: 0, errorMessage: null, resourceType, resourceName })
    } catch (error) {
      responses.push({ ...refusalOf(error), resourceType, resourceName })
    }
  }
  return { responses }
}

/** Only topics are altered. @throws BrokerFault */
function checkResource({ resourceType, resourceName }: Resource, { node }: RequestContext): void {
  if (resourceType === RESOURCE_TOPIC) return
  if (resourceType !== RESOURCE_BROKER) throw new BrokerFault('INVALID_REQUEST', `resources of type ${resourceType} cannot be altered here`)
  if (resourceName !== ALL_BROKERS && resourceName !== String(node.nodeId))
    throw new BrokerFault('INVALID_REQUEST', `there is no broker "${resourceName}", only ${node.nodeId}`)
  throw new BrokerFault('INVALID_REQUEST', 'Cannot update these configs dynamically: settings of the broker are in wadi.yaml')
}
