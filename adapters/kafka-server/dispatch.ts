// One frame in, one frame out: finds the API and the version, decodes, runs the handler, encodes.
// The table below is what we advertise, one row per API, and how a connection treats its requests. Unknown APIs and versions end the connection, as in
// Kafka; only ApiVersions is always answered.

import type { Api } from '../kafka-protocol/api.ts'
import { api } from '../kafka-protocol/apis.ts'
import { decodeRequestHeader, isNewerApiVersions, type RequestHeader } from '../kafka-protocol/frame.ts'
import { ConnectionRefusal, type Handler, type RequestContext } from './context.ts'
import { errorCodeOf } from './error-map.ts'
import { handleCreateAcls, handleDeleteAcls, handleDescribeAcls } from './handlers/acls.ts'
import { type AdvertisedApi, apiVersionsHandler } from './handlers/api-versions.ts'
import { handleDescribeCluster, handleDescribeLogDirs, handleListPartitionReassignments } from './handlers/cluster.ts'
import { handleAlterConfigs, handleDescribeConfigs, handleIncrementalAlterConfigs } from './handlers/configs.ts'
import { handleFetch } from './handlers/fetch.ts'
import { handleFindCoordinator } from './handlers/find-coordinator.ts'
import { handleDeleteGroups, handleDescribeGroups, handleListGroups, handleOffsetDelete } from './handlers/group-admin.ts'
import { handleHeartbeat, handleJoinGroup, handleLeaveGroup, handleSyncGroup } from './handlers/groups.ts'
import { handleOffsetForLeaderEpoch } from './handlers/leader-epochs.ts'
import { handleListOffsets } from './handlers/list-offsets.ts'
import { handleMetadata } from './handlers/metadata.ts'
import { handleOffsetCommit, handleOffsetFetch } from './handlers/offsets.ts'
import { handleProduce } from './handlers/produce.ts'
import { handleCreatePartitions, handleDeleteRecords, handleDescribeTopicPartitions } from './handlers/topic-partitions.ts'
import { handleCreateTopics, handleDeleteTopics } from './handlers/topics.ts'
import { handleDescribeProducers, handleDescribeTransactions, handleListTransactions } from './handlers/transaction-states.ts'
import {
  handleAddOffsetsToTxn,
  handleAddPartitionsToTxn,
  handleEndTxn,
  handleInitProducerId,
  handleTxnOffsetCommit
} from './handlers/transactions.ts'

/** How a connection treats the requests of an API. */
export interface Manners {
  /** Answered when something happens: `data` comes, within the time that the request names; other `members` of a group come, whenever that is. */
  readonly waitsFor: 'nothing' | 'data' | 'members'
  /**
   * It may be taken in hand while requests of the same kind in front of it are not answered yet: its handler has put it in its place, behind theirs,
   * when it returns its promise. All others are carried out alone: they see what came before, and nothing that comes behind.
   */
  readonly overlaps: boolean
}

interface Endpoint {
  readonly name: string
  readonly advertised: AdvertisedApi
  readonly manners: Manners
  answer(frame: Uint8Array, header: RequestHeader, context: RequestContext): Promise<Uint8Array[] | null>
}

interface Particulars extends Partial<Manners> {
  /** Older versions that we name but refuse (librdkafka looks at Produce 0 to 2 to learn which codecs there are). */
  readonly advertisedMin?: number
  /** Of all arrays of one request; default: what the protocol's reader takes. */
  readonly elementsMax?: number
}

/** What administrators ask: far more than there are topics, groups or settings, and carried out within some hundredths of a second. */
const ADMIN = { elementsMax: 20_000 } as const

function endpoint<Request, Response>(
  known: Api<Request, Response>,
  handler: Handler<Request, Response>,
  { advertisedMin = known.minVersion, elementsMax, waitsFor = 'nothing', overlaps = false }: Particulars = {}
): Endpoint {
  return {
    name: known.name,
    advertised: { apiKey: known.key, minVersion: advertisedMin, maxVersion: known.maxVersion },
    manners: { waitsFor, overlaps },
    async answer(frame, { apiVersion, correlationId, bodyAt }, context) {
      const response = await handler(known.decodeRequest(apiVersion, frame, bodyAt, elementsMax), context)
      return response === null ? null : known.encodeResponse(apiVersion, response, { correlationId })
    }
  }
}

const served: readonly Endpoint[] = [
  endpoint(api.Produce, handleProduce, { advertisedMin: 0, overlaps: true }),
  endpoint(api.Fetch, handleFetch, { waitsFor: 'data' }),
  endpoint(api.ListOffsets, handleListOffsets),
  endpoint(api.Metadata, handleMetadata),
  endpoint(api.OffsetCommit, handleOffsetCommit),
  endpoint(api.OffsetFetch, handleOffsetFetch),
  endpoint(api.FindCoordinator, handleFindCoordinator),
  endpoint(api.JoinGroup, handleJoinGroup, { waitsFor: 'members' }),
  endpoint(api.Heartbeat, handleHeartbeat),
  endpoint(api.LeaveGroup, handleLeaveGroup),
  endpoint(api.SyncGroup, handleSyncGroup, { waitsFor: 'members' }),
  endpoint(api.DescribeGroups, handleDescribeGroups, ADMIN),
  endpoint(api.ListGroups, handleListGroups, ADMIN),
  endpoint(api.DeleteGroups, handleDeleteGroups, ADMIN),
  endpoint(api.OffsetDelete, handleOffsetDelete, ADMIN),
  endpoint(api.CreateTopics, handleCreateTopics),
  endpoint(api.DeleteTopics, handleDeleteTopics),
  endpoint(api.InitProducerId, handleInitProducerId),
  endpoint(api.OffsetForLeaderEpoch, handleOffsetForLeaderEpoch),
  endpoint(api.AddPartitionsToTxn, handleAddPartitionsToTxn),
  endpoint(api.AddOffsetsToTxn, handleAddOffsetsToTxn),
  endpoint(api.EndTxn, handleEndTxn),
  endpoint(api.TxnOffsetCommit, handleTxnOffsetCommit),
  endpoint(api.DescribeConfigs, handleDescribeConfigs, ADMIN),
  endpoint(api.AlterConfigs, handleAlterConfigs, ADMIN),
  endpoint(api.IncrementalAlterConfigs, handleIncrementalAlterConfigs, ADMIN),
  endpoint(api.CreatePartitions, handleCreatePartitions, ADMIN),
  endpoint(api.DeleteRecords, handleDeleteRecords, ADMIN),
  endpoint(api.DescribeTopicPartitions, handleDescribeTopicPartitions, ADMIN),
  endpoint(api.DescribeCluster, handleDescribeCluster, ADMIN),
  endpoint(api.DescribeLogDirs, handleDescribeLogDirs, ADMIN),
  endpoint(api.ListPartitionReassignments, handleListPartitionReassignments, ADMIN),
  endpoint(api.DescribeProducers, handleDescribeProducers, ADMIN),
  endpoint(api.DescribeTransactions, handleDescribeTransactions, ADMIN),
  endpoint(api.ListTransactions, handleListTransactions, ADMIN),
  endpoint(api.DescribeAcls, handleDescribeAcls, ADMIN),
  endpoint(api.CreateAcls, handleCreateAcls, ADMIN),
  endpoint(api.DeleteAcls, handleDeleteAcls, ADMIN)
]

const ownVersions: AdvertisedApi = {
  apiKey: api.ApiVersions.key,
  minVersion: api.ApiVersions.minVersion,
  maxVersion: api.ApiVersions.maxVersion
}
const advertised: readonly AdvertisedApi[] = [...served.map((entry) => entry.advertised), ownVersions]
const endpoints = new Map(
  [...served, endpoint(api.ApiVersions, apiVersionsHandler(advertised))].map((entry) => [entry.advertised.apiKey, entry])
)

const ordinary: Manners = { waitsFor: 'nothing', overlaps: false }

/** Also of requests that are not served. `frame` has at least its header's first two bytes. */
export function mannersOf(frame: Uint8Array): Manners {
  return endpoints.get(new DataView(frame.buffer, frame.byteOffset, 2).getInt16(0))?.manners ?? ordinary
}

/** null when the request gets no answer. @throws ProtocolError when it cannot be read; ConnectionRefusal when we do not serve it */
export async function dispatch(
  frame: Uint8Array,
  contextOf: (header: { apiVersion: number; clientId: string; name: string }) => RequestContext
): Promise<Uint8Array[] | null> {
  const header = decodeRequestHeader(frame)
  if (isNewerApiVersions(header)) {
    const response = { errorCode: errorCodeOf('UNSUPPORTED_VERSION'), apiKeys: [ownVersions] }
    return api.ApiVersions.encodeResponse(0, response, { correlationId: header.correlationId })
  }
  const { apiKey, apiVersion } = header
  const found = header.api === null ? undefined : endpoints.get(apiKey)
  if (!found) throw new ConnectionRefusal('unsupported', `API ${apiKey} version ${apiVersion} is not served`)
  return found.answer(frame, header, contextOf({ apiVersion, clientId: header.clientId ?? '', name: found.name }))
}
