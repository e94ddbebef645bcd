// The package: what a program imports to run a gateway inside itself. bin/ is one such program.
// Everything that is exported here is kept compatible; the rest of the house may change.

export type { SessionDetail, SessionFacts, SessionQuery } from '../adapters/mqtt/session-facts.ts'
export { WadiError } from '../runtime/base/errors.ts'
export type { Histogram, MetricFamily, Sample } from '../runtime/base/metrics.ts'
export { loadConfig } from './config/load.ts'
export type { Config } from './config/schema.ts'
export type { Gateway, RecordsOptions } from './contract.ts'
export { type Edges, openEdges } from './edges.ts'
export { type GatewayOptions, openGateway } from './gateway.ts'
export type { Log, LogLevel } from './log.ts'
export type { StatusReport } from './status-report.ts'
export type { MissingRange, PlacedRecord } from './tail-cursor.ts'
export { VERSION } from './version.ts'
