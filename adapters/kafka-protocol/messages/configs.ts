// Settings of topics and brokers: read, replaced as a whole, changed one by one.

import { defineApi } from '../api.ts'

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

/** What both ways of changing settings answer. */
export interface AlteredConfigs {
  throttleTimeMs: number
  responses: { errorCode: number; errorMessage: string | null; resourceType: number; resourceName: string }[]
}

const ALTERED = 'throttleTimeMs:i32, responses:[errorCode:i16, errorMessage:text?, resourceType:i8, resourceName:str]'

export interface AlterConfigsRequest {
  /** What a resource does not name goes back to its default. */
  resources: { resourceType: number; resourceName: string; configs: { name: string; value: string | null }[] }[]
  validateOnly: boolean
}

export const AlterConfigs = defineApi<AlterConfigsRequest, AlteredConfigs>({
  key: 33,
  name: 'AlterConfigs',
  versions: [0, 2],
  flexibleFrom: 2,
  request: 'resources:[resourceType:i8, resourceName:str, configs:[name:str, value:str?]], validateOnly:bool',
  response: ALTERED
})

export interface IncrementalAlterConfigsRequest {
  /** configOperation: 0 set, 1 delete, 2 append, 3 subtract. */
  resources: {
    resourceType: number
    resourceName: string
    configs: { name: string; configOperation: number; value: string | null }[]
  }[]
  validateOnly: boolean
}

export const IncrementalAlterConfigs = defineApi<IncrementalAlterConfigsRequest, AlteredConfigs>({
  key: 44,
  name: 'IncrementalAlterConfigs',
  versions: [0, 1],
  flexibleFrom: 1,
  request: 'resources:[resourceType:i8, resourceName:str, configs:[name:str, configOperation:i8, value:str?]], validateOnly:bool',
  response: ALTERED
})
