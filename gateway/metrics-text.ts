// The registry in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats), which its servers, its node_exporter
// (textfile collector), VictoriaMetrics and Grafana's agents read.

import type { Metric, MetricFamily } from '../runtime/base/metrics.ts'
import { visibleLine } from '../runtime/base/visible-line.ts'

export function metricsText(families: readonly MetricFamily[]): string {
  return families.map((family) => `${head(family)}${series(family).join('')}`).join('')
}

function head({ name, help, kind }: Metric): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${kind}\n`
}

function series(family: MetricFamily): string[] {
  const { name } = family
  if (family.kind !== 'histogram') {
    return family.samples.map(({ labels, value }) =>
      line(
        name,
        family.labels.map((label, at) => [label, labels[at] as string]),
        value
      )
    )
  }
  const { buckets, sum } = family.histogram
  const count = buckets.at(-1)?.count ?? 0
  const bounds = buckets.map((bucket) => line(`${name}_bucket`, [['le', numberText(bucket.upperBound)]], bucket.count))
  return [...bounds, line(`${name}_sum`, [], sum), line(`${name}_count`, [], count)]
}

function line(name: string, labels: readonly (readonly [string, string])[], value: number): string {
  const words = labels.map(([label, text]) => `${label}="${escaped(text)}"`).join(',')
  return `${name}${words === '' ? '' : `{${words}}`} ${numberText(value)}\n`
}

/**
 * Names of MQTT topics may hold anything that UTF-8 has: what cannot be seen is written as \u and its number, and a backslash as two, so that two names
 * never look the same. Then the escapes of the format.
 */
function escaped(text: string): string {
  return visibleLine(text.replaceAll('\\', '\\\\')).replaceAll('\\', '\\\\').replaceAll('"', '\\"')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : `${value}`
}
