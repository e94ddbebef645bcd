// FindCoordinator (10): which broker looks after a group or a transactional id.

import { defineApi } from '../api.ts'

export interface FindCoordinatorRequest {
  /** Up to version 3; from 4 on coordinatorKeys. */
  key: string
  /** 0 group, 1 transaction. */
  keyType: number
  coordinatorKeys: string[]
}

export interface FindCoordinatorResponse {
  throttleTimeMs: number
  errorCode: number
  errorMessage: string | null
  nodeId: number
  host: string
  port: number
  coordinators: { key: string; nodeId: number; host: string; port: number; errorCode: number; errorMessage: string | null }[]
}

export const FindCoordinator = defineApi<FindCoordinatorRequest, FindCoordinatorResponse>({
  key: 10,
  name: 'FindCoordinator',
  versions: [0, 6],
  flexibleFrom: 3,
  request: 'key:str v0-3, keyType:i8 v1+, coordinatorKeys:[]str v4+',
  response: `throttleTimeMs:i32 v1+, errorCode:i16 v0-3, errorMessage:text? v1-3, nodeId:i32 v0-3, host:str v0-3, port:i32 v0-3,
    coordinators:[key:str, nodeId:i32, host:str, port:i32, errorCode:i16, errorMessage:text?] v4+`
})
