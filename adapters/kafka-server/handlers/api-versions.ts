// ApiVersions: what we speak. Newer requests than we know are answered in version 0 by dispatch.ts.

import type { ApiVersionsRequest, ApiVersionsResponse } from '../../kafka-protocol/messages/api-versions.ts'
import type { Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

export interface AdvertisedApi {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

export function apiVersionsHandler(advertised: readonly AdvertisedApi[]): Handler<ApiVersionsRequest, ApiVersionsResponse> {
  return (request, { apiVersion }) => {
    const isNamed = SOFTWARE_NAME.test(request.clientSoftwareName) && SOFTWARE_NAME.test(request.clientSoftwareVersion)
    if (apiVersion >= 3 && !isNamed) return { errorCode: errorCodeOf('INVALID_REQUEST') }
    return { errorCode: 0, apiKeys: [...advertised] }
  }
}
