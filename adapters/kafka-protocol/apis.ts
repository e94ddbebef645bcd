// Every API this codec knows, by name and by number.

import type { Api } from './api.ts'
import { CreateAcls, DeleteAcls, DescribeAcls } from './messages/acls.ts'
import { ApiVersions } from './messages/api-versions.ts'
import { DescribeCluster, DescribeLogDirs, ListPartitionReassignments } from './messages/cluster.ts'
import { AlterConfigs, DescribeConfigs, IncrementalAlterConfigs } from './messages/configs.ts'
import { Fetch } from './messages/fetch.ts'
import { FindCoordinator } from './messages/find-coordinator.ts'
import { DeleteGroups, DescribeGroups, ListGroups, OffsetDelete } from './messages/group-admin.ts'
import { Heartbeat, JoinGroup, LeaveGroup, SyncGroup } from './messages/groups.ts'
import { OffsetForLeaderEpoch } from './messages/leader-epochs.ts'
import { ListOffsets } from './messages/list-offsets.ts'
import { Metadata } from './messages/metadata.ts'
import { OffsetCommit, OffsetFetch } from './messages/offsets.ts'
import { Produce } from './messages/produce.ts'
import { CreatePartitions, CreateTopics, DeleteRecords, DeleteTopics, DescribeTopicPartitions } from './messages/topics.ts'
import { DescribeProducers, DescribeTransactions, ListTransactions } from './messages/transaction-states.ts'
import { AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, InitProducerId, TxnOffsetCommit } from './messages/transactions.ts'

export const api = {
  Produce,
  Fetch,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetFetch,
  FindCoordinator,
  JoinGroup,
  Heartbeat,
  LeaveGroup,
  SyncGroup,
  DescribeGroups,
  ListGroups,
  DeleteGroups,
  OffsetDelete,
  ApiVersions,
  CreateTopics,
  DeleteTopics,
  InitProducerId,
  OffsetForLeaderEpoch,
  AddPartitionsToTxn,
  AddOffsetsToTxn,
  EndTxn,
  TxnOffsetCommit,
  DescribeConfigs,
  AlterConfigs,
  IncrementalAlterConfigs,
  CreatePartitions,
  DeleteRecords,
  DescribeTopicPartitions,
  DescribeCluster,
  DescribeLogDirs,
  ListPartitionReassignments,
  DescribeProducers,
  DescribeTransactions,
  ListTransactions,
  DescribeAcls,
  CreateAcls,
  DeleteAcls
} as const

/** An API whose messages are not known by type. */
export type AnyApi = Pick<Api<unknown, unknown>, 'key' | 'name' | 'minVersion' | 'maxVersion' | 'supports' | 'isFlexible'>

export const apiByKey: ReadonlyMap<number, AnyApi> = new Map(Object.values(api).map((known) => [known.key, known]))
