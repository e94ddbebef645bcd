// DescribeCluster, DescribeLogDirs and ListPartitionReassignments: one node, one directory, and no replica ever moves.

import type { Topic } from '../../../runtime/log/contract.ts'
import type { Draft } from '../../kafka-protocol/api.ts'
import type {
  DescribeClusterRequest,
  DescribeClusterResponse,
  DescribedLogDir,
  DescribeLogDirsRequest,
  DescribeLogDirsResponse,
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse
} from '../../kafka-protocol/messages/cluster.ts'
import type { Handler } from '../context.ts'
import { distinctPlaces } from '../distinct.ts'
import { errorCodeOf } from '../error-map.ts'
import { CLUSTER_OPERATIONS } from '../operations.ts'

const ENDPOINT_BROKERS = 1
const ENDPOINT_CONTROLLERS = 2
/** About what one partition takes in an answer, and a topic beside its name. */
const ENTRY_BYTES = 32

export const handleDescribeCluster: Handler<DescribeClusterRequest, DescribeClusterResponse> = (request, { node, clusterId }) => {
  const { endpointType, includeClusterAuthorizedOperations } = request
  if (endpointType !== ENDPOINT_BROKERS) {
    const fault = endpointType === ENDPOINT_CONTROLLERS ? 'MISMATCHED_ENDPOINT_TYPE' : 'UNSUPPORTED_ENDPOINT_TYPE'
    return { errorCode: errorCodeOf(fault), errorMessage: 'There are brokers here, and no controllers apart.', endpointType, brokers: [] }
  }
  return {
    endpointType,
    clusterId,
    controllerId: node.nodeId,
    brokers: [{ brokerId: node.nodeId, host: node.host, port: node.port }],
    ...(includeClusterAuthorizedOperations && { clusterAuthorizedOperations: CLUSTER_OPERATIONS })
  }
}

/** What is not there is left out, as in Kafka. */
export const handleDescribeLogDirs: Handler<DescribeLogDirsRequest, DescribeLogDirsResponse> = async ({ topics: asked }, context) => {
  const { broker } = context
  const wanted =
    asked === null
      ? broker.topics.list().map((topic) => sizesOf(topic))
      : distinctPlaces(
          asked,
          ({ topic }) => topic,
          (index) => index
        ).flatMap(({ topic: name, partitions }) => {
          const topic = broker.topics.find(name)
          return topic ? [sizesOf(topic, partitions)] : []
        })
  await context.reserveAnswer(wanted.reduce((sum, { name, partitions }) => sum + name.length + (partitions.length + 1) * ENTRY_BYTES, 0))
  const { usedBytes, freeBytes } = await broker.space()
  const space = freeBytes === null ? {} : { totalBytes: usedBytes + freeBytes, usableBytes: freeBytes }
  return { results: [{ logDir: broker.directory, topics: wanted.filter(({ partitions }) => partitions.length > 0), ...space }] }
}

type Sizes = Draft<DescribedLogDir['topics'][number]> & { readonly name: string; readonly partitions: readonly unknown[] }

function sizesOf({ name, partitions }: Topic, indexes?: readonly number[]): Sizes {
  const wanted = indexes ? indexes.flatMap((index) => partitions[index] ?? []) : partitions
  return {
    name,
    partitions: wanted.map((partition) => ({
      partitionIndex: partition.partitionIndex,
      partitionSize: partition.bytesFrom(partition.logStartOffset)
    }))
  }
}

export const handleListPartitionReassignments: Handler<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse> = () => ({
  topics: []
})
