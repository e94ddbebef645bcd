// What a client may do with a topic, a group or the cluster: everything, as Kafka says it where there are no ACLs. Bits are Kafka's AclOperation numbers.

const bits = (operations: readonly number[]): number => operations.reduce((sum, operation) => sum | (1 << operation), 0)

const [READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE] = [3, 4, 5, 6, 7, 8] as const
const [CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE] = [9, 10, 11, 12] as const

export const TOPIC_OPERATIONS = bits([READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS])
export const GROUP_OPERATIONS = bits([READ, DELETE, DESCRIBE])
export const CLUSTER_OPERATIONS = bits([CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE])
