// wadi metrics: everything that the running gateway counts, for programs that watch it.

import type { Command } from '../command.ts'
import { EXIT } from '../exit-code.ts'
import { dataDirectoryOf, targetOptions } from '../target.ts'
import { print } from '../terminal.ts'

export const metrics: Command = {
  name: 'metrics',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'All counters of the running gateway, in the text format of Prometheus',
  details: `For node_exporter's textfile collector: docs/metrics.md has the line for cron, and every name.
What cannot be seen of a topic's name is written as \\u and its number, a backslash as two.`,
  options: [...targetOptions],
  examples: ['wadi metrics', "wadi metrics | grep '^wadi_uplink_lag'"],

  async run(input) {
    const { askControl } = await import('../../adapters/control/control-client.ts')
    const directory = await dataDirectoryOf(input)
    const { text } = (await askControl(directory, { command: 'metrics' }, { signal: input.signal })) as { text: string }
    await print(text)
    return EXIT.ok
  }
}
