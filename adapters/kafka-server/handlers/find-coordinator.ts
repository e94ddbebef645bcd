// FindCoordinator: we are it, for groups and for transactions.

import type { FindCoordinatorRequest, FindCoordinatorResponse } from '../../kafka-protocol/messages/find-coordinator.ts'
import type { Handler } from '../context.ts'
import { errorCodeOf } from '../error-map.ts'

const KEY_TYPES = new Set([0, 1])
const BATCHED_FROM = 4

export const handleFindCoordinator: Handler<FindCoordinatorRequest, FindCoordinatorResponse> = (request, { node, apiVersion }) => {
  const answer = KEY_TYPES.has(request.keyType)
    ? { ...node, errorCode: 0, errorMessage: null }
    : { nodeId: -1, host: '', port: -1, errorCode: errorCodeOf('INVALID_REQUEST'), errorMessage: `unknown key type ${request.keyType}` }
  if (apiVersion < BATCHED_FROM) return answer
  return { coordinators: request.coordinatorKeys.map((key) => ({ key, ...answer, errorMessage: answer.errorMessage ?? '' })) }
}
