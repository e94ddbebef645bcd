// ApiVersions (18): which APIs and versions the other side speaks. Fields by version are data; docs: the Kafka protocol guide.

import { defineApi } from '../api.ts'

export interface ApiVersionsRequest {
  clientSoftwareName: string
  clientSoftwareVersion: string
}

export interface ApiVersionsResponse {
  errorCode: number
  apiKeys: { apiKey: number; minVersion: number; maxVersion: number }[]
  throttleTimeMs: number
  supportedFeatures: { name: string; minVersion: number; maxVersion: number }[]
  finalizedFeaturesEpoch: number
  finalizedFeatures: { name: string; maxVersionLevel: number; minVersionLevel: number }[]
  zkMigrationReady: boolean
}

export const ApiVersions = defineApi<ApiVersionsRequest, ApiVersionsResponse>({
  key: 18,
  name: 'ApiVersions',
  versions: [0, 4],
  flexibleFrom: 3,
  request: 'clientSoftwareName:str v3+, clientSoftwareVersion:str v3+',
  response: `errorCode:i16, apiKeys:[apiKey:i16, minVersion:i16, maxVersion:i16], throttleTimeMs:i32 v1+,
    supportedFeatures:[name:str, minVersion:i16, maxVersion:i16] v3+ tag0, finalizedFeaturesEpoch:i64=-1 v3+ tag1,
    finalizedFeatures:[name:str, maxVersionLevel:i16, minVersionLevel:i16] v3+ tag2, zkMigrationReady:bool v3+ tag3`
})
