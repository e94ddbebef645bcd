// All benchmarks, in the order they run. One file per question.

import { catchUpBench } from './catch-up.ts'
import { checkpointBench } from './checkpoint.ts'
import { compactionBench } from './compaction.ts'
import { connectionsBench } from './connections.ts'
import { consumerBench } from './consumer.ts'
import { crc32cBench } from './crc32c.ts'
import { deliveryBench } from './delivery.ts'
import { deviceBench } from './device.ts'
import { encodeBench } from './encode.ts'
import { functionsBench } from './functions.ts'
import type { Bench } from './harness.ts'
import { ingestBench } from './ingest.ts'
import { laneBench } from './lane.ts'
import { laneLatencyBench } from './lane-latency.ts'
import { limitsBench } from './limits.ts'
import { memoryBench } from './memory.ts'
import { pipelineBench } from './pipeline.ts'
import { producerBench } from './producer.ts'
import { restartBench } from './restart.ts'
import { sessionsBench } from './sessions.ts'
import { tlsBench } from './tls.ts'
import { trickleBench } from './trickle.ts'
import { waitingBench } from './waiting.ts'

export const benches: readonly Bench[] = [
  crc32cBench,
  encodeBench,
  functionsBench,
  ingestBench,
  laneBench,
  laneLatencyBench,
  deliveryBench,
  connectionsBench,
  tlsBench,
  sessionsBench,
  producerBench,
  pipelineBench,
  deviceBench,
  restartBench,
  checkpointBench,
  compactionBench,
  memoryBench,
  limitsBench,
  trickleBench,
  waitingBench,
  catchUpBench,
  consumerBench
]
