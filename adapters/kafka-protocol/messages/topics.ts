// Making topics and reading their settings.

import { defineApi } from '../api.ts'

export interface CreateTopicsRequest {
  topics: {
    name: string
    /** -1 = the cluster's default; so is replicationFactor -1. */
    numPartitions: number
    replicationFactor: number
    assignments: { partitionIndex: number; brokerIds: number[] }[]
    configs: { name: string; value: string | null }[]
  }[]
  timeoutMs: number
  validateOnly: boolean
}

export interface CreateTopicsResponse {
  throttleTimeMs: number
  topics: {
    name: string
    topicId: string
    errorCode: number
    errorMessage: string | null
    topicConfigErrorCode: number
    numPartitions: number
    replicationFactor: number
    configs: { name: string; value: string | null; readOnly: boolean; configSource: number; isSensitive: boolean }[] | null
  }[]
}

export const CreateTopics = defineApi<CreateTopicsRequest, CreateTopicsResponse>({
  key: 19,
  name: 'CreateTopics',
  versions: [2, 7],
  flexibleFrom: 5,
  request: `topics:[name:str, numPartitions:i32, replicationFactor:i16, assignments:[partitionIndex:i32, brokerIds:[]i32],
      configs:[name:str, value:str?]],
    timeoutMs:i32=60000, validateOnly:bool`,
  response: `throttleTimeMs:i32,
    topics:[name:str, topicId:uuid v7+, errorCode:i16, errorMessage:text?, topicConfigErrorCode:i16 v5+ tag0, numPartitions:i32=-1 v5+,
      replicationFactor:i16=-1 v5+, configs:[name:str, value:str?, readOnly:bool, configSource:i8=-1, isSensitive:bool]? v5+]`
})

export interface DeleteTopicsRequest {
  /** From version 6 on: by name, or by id when the name is null. */
  topics: { name: string | null; topicId: string }[]
  /** Before version 6. */
  topicNames: string[]
  timeoutMs: number
}

export interface DeleteTopicsResponse {
  throttleTimeMs: number
  responses: { name: string | null; topicId: string; errorCode: number; errorMessage: string | null }[]
}

export const DeleteTopics = defineApi<DeleteTopicsRequest, DeleteTopicsResponse>({
  key: 20,
  name: 'DeleteTopics',
  versions: [1, 6],
  flexibleFrom: 4,
  request: 'topics:[name:str?, topicId:uuid] v6+, topicNames:[]str v0-5, timeoutMs:i32',
  response: `throttleTimeMs:i32,
    responses:[name:str?(6), topicId:uuid v6+, errorCode:i16, errorMessage:text? v5+]`
})

export interface DescribeConfigsRequest {
  /** resourceType: 2 topic, 4 broker. configurationKeys null = all. */
  resources: { resourceType: number; resourceName: string; configurationKeys: string[] | null }[]
  includeSynonyms: boolean
  includeDocumentation: boolean
}

export interface DescribedConfig {
  name: string
  value: string | null
  readOnly: boolean
  configSource: number
  isSensitive: boolean
  synonyms: { name: string; value: string | null; source: number }[]
  configType: number
  documentation: string | null
}

export interface DescribeConfigsResponse {
  throttleTimeMs: number
  results: {
    errorCode: number
    errorMessage: string | null
    resourceType: number
    resourceName: string
    configs: DescribedConfig[]
  }[]
}

export const DescribeConfigs = defineApi<DescribeConfigsRequest, DescribeConfigsResponse>({
  key: 32,
  name: 'DescribeConfigs',
  versions: [1, 4],
  flexibleFrom: 4,
  request: `resources:[resourceType:i8, resourceName:str, configurationKeys:[]str?], includeSynonyms:bool,
    includeDocumentation:bool v3+`,
  response: `throttleTimeMs:i32,
    results:[errorCode:i16, errorMessage:text?, resourceType:i8, resourceName:str,
      configs:[name:str, value:str?, readOnly:bool, configSource:i8=-1, isSensitive:bool,
        synonyms:[name:str, value:str?, source:i8], configType:i8 v3+, documentation:str? v3+]]`
})
