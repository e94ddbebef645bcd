// DescribeAcls, CreateAcls and DeleteAcls: there are no ACLs, and whoever asks is told so as by a Kafka without an authorizer.

import type {
  CreateAclsRequest,
  CreateAclsResponse,
  DeleteAclsRequest,
  DeleteAclsResponse,
  DescribeAclsRequest,
  DescribeAclsResponse
} from '../../kafka-protocol/messages/acls.ts'
import type { Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const refusal = { errorCode: errorCodeOf('SECURITY_DISABLED'), errorMessage: 'No Authorizer is configured.' }

export const handleDescribeAcls: Handler<DescribeAclsRequest, DescribeAclsResponse> = () => ({ ...refusal, resources: [] })

export const handleCreateAcls: Handler<CreateAclsRequest, CreateAclsResponse> = ({ creations }) => ({
  results: creations.map(() => refusal)
})

export const handleDeleteAcls: Handler<DeleteAclsRequest, DeleteAclsResponse> = ({ filters }) => ({
  filterResults: filters.map(() => ({ ...refusal, matchingAcls: [] }))
})
