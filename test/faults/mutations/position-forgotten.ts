// Loaded before the gateway (node --import): it never believes what the centre says about its position, nor that a transaction was committed.
// The comparison with a real Kafka must notice.

import { KafkaUpstream } from '../../../adapters/kafka-upstream/kafka-upstream.ts'

KafkaUpstream.prototype.fetchPosition = async () => new Map()
KafkaUpstream.prototype.readCommitted = async ({ fromOffset }) => ({ batches: [], nextOffset: fromOffset, isEnd: true, isDeleted: false })
