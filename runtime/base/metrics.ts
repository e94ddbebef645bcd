// The registry of everything that is counted: one per gateway, never global. A family is registered once, beside what counts it, with a function that
// reads it: counting stays a plain addition, and a family costs something only when somebody asks.
//
// Names follow Prometheus (https://prometheus.io/docs/practices/naming): wadi_<part>_<what>[_<unit>][_total].
// Invariants: a name has one meaning; labels of a family are always the same ones, in one order; counters of this process begin at 0 at its start,
// unless their help says that they outlive it.
// Not for: what is not a number (reasons, last errors: wadi status), writing it out (gateway/metrics-text.ts).

export interface Metric {
  readonly name: string
  /** counter: only grows while the process lives. */
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** The last word of the name, but for _total; '' = a number of things. */
  readonly unit: '' | 'bytes' | 'seconds'
  /** One plain sentence, without the unit. */
  readonly help: string
  readonly labels: readonly string[]
}

/** One series: the values of the labels in the family's order. */
export interface Sample {
  readonly labels: readonly string[]
  readonly value: number
}

export interface Histogram {
  /** Cumulative, by upper bound, ascending; the last bound is Infinity. */
  readonly buckets: readonly { readonly upperBound: number; readonly count: number }[]
  readonly sum: number
}

/** A family as it is now. */
export type MetricFamily =
  | (Metric & { readonly kind: 'counter' | 'gauge'; readonly samples: readonly Sample[] })
  | (Metric & { readonly kind: 'histogram'; readonly histogram: Histogram })

type Definition = Omit<Metric, 'unit' | 'labels' | 'kind'> & { readonly unit?: Metric['unit'] }
type Read = () => number | null
type ReadSamples = () => Iterable<readonly [labels: readonly string[], value: number]>

const NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/

/** `read`, called once for all who ask within one piece of synchronous work: a walk over all topics is made once, not for every family. */
export function oncePerTurn<T>(read: () => T): () => T {
  let kept: { readonly value: T } | null = null
  return () => {
    if (kept === null) {
      kept = { value: read() }
      queueMicrotask(() => {
        kept = null
      })
    }
    return kept.value
  }
}

/** Series of a family with one label, from counts by its value. */
export function seriesOf(
  counts: Iterable<readonly [label: string, value: number]>
): Iterable<readonly [labels: readonly string[], value: number]> {
  return [...counts].map(([label, value]) => [[label], value] as const)
}

export class Metrics {
  readonly #families = new Map<string, { readonly metric: Metric; readonly collect: () => MetricFamily }>()

  /** @throws Error when the name is taken or is no name of a counter: a fault of the program */
  counter(definition: Definition, read: Read): void {
    this.#addPlain({ ...definition, kind: 'counter', labels: [] }, () => samplesOf(read))
  }

  /** null = there is none now. @throws as counter() */
  gauge(definition: Definition, read: Read): void {
    this.#addPlain({ ...definition, kind: 'gauge', labels: [] }, () => samplesOf(read))
  }

  /**
   * With a series for each combination of labels. `read` gives a bounded number of them: topics of the store, reasons that the program knows, names of
   * others up to a bound. A series that it does not give is not there any more. @throws as counter()
   */
  counters(definition: Definition & { readonly labels: readonly string[] }, read: ReadSamples): void {
    this.#addPlain({ ...definition, kind: 'counter' }, () => labelledOf(definition, read))
  }

  gauges(definition: Definition & { readonly labels: readonly string[] }, read: ReadSamples): void {
    this.#addPlain({ ...definition, kind: 'gauge' }, () => labelledOf(definition, read))
  }

  histogram(definition: Definition, read: () => Histogram): void {
    const metric = this.#checked({ unit: '', ...definition, kind: 'histogram', labels: [] })
    this.#families.set(metric.name, { metric, collect: () => ({ ...metric, kind: 'histogram', histogram: read() }) })
  }

  /** Every family as it is now, by name. */
  collect(): readonly MetricFamily[] {
    return [...this.#families.values()].map(({ collect }) => collect()).sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  /** Of a family without labels; null when it has no value now. @throws Error when there is no such family */
  value(name: string): number | null {
    return this.samples(name)[0]?.value ?? null
  }

  /** @throws Error when there is no such family, or it is a histogram */
  samples(name: string): readonly Sample[] {
    const family = this.#families.get(name)?.collect()
    if (!family || family.kind === 'histogram') throw new Error(`there is no counter or gauge ${name}`)
    return family.samples
  }

  /** Of all series. @throws as samples() */
  sum(name: string): number {
    return this.samples(name).reduce((sum, { value }) => sum + value, 0)
  }

  #addPlain(definition: Omit<Metric, 'unit'> & { readonly unit?: Metric['unit'] }, read: () => readonly Sample[]): void {
    const metric = this.#checked({ unit: '', ...definition })
    const kind = metric.kind === 'counter' ? 'counter' : 'gauge'
    this.#families.set(metric.name, { metric, collect: () => ({ ...metric, kind, samples: read() }) })
  }

  #checked(metric: Metric): Metric {
    const { name, kind, unit, help, labels } = metric
    const wrong =
      (!NAME.test(name) && 'is no name') ||
      (this.#families.has(name) && 'is registered already') ||
      ((kind === 'counter') !== name.endsWith('_total') && 'ends with _total exactly when it is a counter') ||
      (unit !== '' && !name.replace(/_total$/, '').endsWith(`_${unit}`) && `does not end with its unit ${unit}`) ||
      ((help === '' || /[\n\r]/.test(help)) && 'has no help of one line') ||
      ((new Set(labels).size !== labels.length || !labels.every((label) => NAME.test(label))) && 'has labels that are no names, or twice')
    if (wrong) throw new Error(`the metric ${name} ${wrong}`)
    return metric
  }
}

function samplesOf(read: Read): readonly Sample[] {
  const value = read()
  return value === null ? [] : [{ labels: [], value }]
}

function labelledOf({ name, labels }: { name: string; labels: readonly string[] }, read: ReadSamples): readonly Sample[] {
  return [...read()].map(([values, value]) => {
    if (values.length !== labels.length) throw new Error(`a series of ${name} has ${values.length} labels, not ${labels.length}`)
    return { labels: values, value }
  })
}
