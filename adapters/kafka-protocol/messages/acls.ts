// Who may do what.

import { defineApi } from '../api.ts'

export interface DescribeAclsRequest {
  resourceTypeFilter: number
  resourceNameFilter: string | null
  patternTypeFilter: number
  principalFilter: string | null
  hostFilter: string | null
  operation: number
  permissionType: number
}

const FILTER = `resourceTypeFilter:i8, resourceNameFilter:str?, patternTypeFilter:i8=3, principalFilter:str?, hostFilter:str?, operation:i8,
    permissionType:i8`

interface AclEntry {
  principal: string
  host: string
  operation: number
  permissionType: number
}

export interface DescribeAclsResponse {
  throttleTimeMs: number
  errorCode: number
  errorMessage: string | null
  resources: { resourceType: number; resourceName: string; patternType: number; acls: AclEntry[] }[]
}

export const DescribeAcls = defineApi<DescribeAclsRequest, DescribeAclsResponse>({
  key: 29,
  name: 'DescribeAcls',
  versions: [1, 3],
  flexibleFrom: 2,
  request: FILTER,
  response: `throttleTimeMs:i32, errorCode:i16, errorMessage:text?,
    resources:[resourceType:i8, resourceName:str, patternType:i8=3, acls:[principal:str, host:str, operation:i8, permissionType:i8]]`
})

export interface CreateAclsRequest {
  creations: (AclEntry & { resourceType: number; resourceName: string; resourcePatternType: number })[]
}

export interface CreateAclsResponse {
  throttleTimeMs: number
  results: { errorCode: number; errorMessage: string | null }[]
}

export const CreateAcls = defineApi<CreateAclsRequest, CreateAclsResponse>({
  key: 30,
  name: 'CreateAcls',
  versions: [1, 3],
  flexibleFrom: 2,
  request: `creations:[resourceType:i8, resourceName:str, resourcePatternType:i8=3, principal:str, host:str, operation:i8, permissionType:i8]`,
  response: 'throttleTimeMs:i32, results:[errorCode:i16, errorMessage:text?]'
})

export interface DeleteAclsRequest {
  filters: DescribeAclsRequest[]
}

export interface DeleteAclsResponse {
  throttleTimeMs: number
  filterResults: {
    errorCode: number
    errorMessage: string | null
    matchingAcls: (AclEntry & {
      errorCode: number
      errorMessage: string | null
      resourceType: number
      resourceName: string
      patternType: number
    })[]
  }[]
}

export const DeleteAcls = defineApi<DeleteAclsRequest, DeleteAclsResponse>({
  key: 31,
  name: 'DeleteAcls',
  versions: [1, 3],
  flexibleFrom: 2,
  request: `filters:[${FILTER}]`,
  response: `throttleTimeMs:i32,
    filterResults:[errorCode:i16, errorMessage:text?,
      matchingAcls:[errorCode:i16, errorMessage:text?, resourceType:i8, resourceName:str, patternType:i8=3, principal:str, host:str,
        operation:i8, permissionType:i8]]`
})
