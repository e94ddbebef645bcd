// What the process itself takes, for the registry, under names of ours: through node_exporter they would meet its own; and who this gateway is.

import type { Metrics } from '../runtime/base/metrics.ts'
import { VERSION } from './version.ts'

export function registerProcess(metrics: Metrics, { id, startedMs }: { readonly id: string; readonly startedMs: number }): void {
  metrics.gauge({ name: 'wadi_up', help: 'Always 1: the gateway answered' }, () => 1)
  metrics.gauges({ name: 'wadi_gateway_info', help: 'Always 1: which gateway, and which version', labels: ['id', 'version'] }, () => [
    [[id, VERSION], 1]
  ])
  metrics.gauge({ name: 'wadi_process_resident_memory_bytes', unit: 'bytes', help: 'Memory of the process' }, () =>
    process.memoryUsage.rss()
  )
  metrics.counter({ name: 'wadi_process_cpu_seconds_total', unit: 'seconds', help: 'Processor time of the process' }, () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  metrics.gauge(
    { name: 'wadi_process_start_time_seconds', unit: 'seconds', help: 'When the gateway was opened, since 1970, by its clock' },
    () => startedMs / 1_000
  )
}
