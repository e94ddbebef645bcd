// Proves for bench/: every benchmark still runs and gives figures (or says why it cannot here), so that none rots. Its numbers mean nothing.
// How: each bench in smoke mode, silent.

import t from 'tap'
import { benches } from '../../bench/benches.ts'
import { formatTable, runBenches } from '../../bench/harness.ts'

for (const bench of benches) {
  t.test(`${bench.name}: runs small`, async (t) => {
    const lines: string[] = []
    const figures = await runBenches([bench], { isSmoke: true, write: (line) => lines.push(line) })
    const skipped = lines.map((line) => JSON.parse(line) as { skipped?: string }).filter((line) => line.skipped !== undefined)
    t.ok(figures.length + skipped.length > 0, `${figures.length} figures, ${skipped.length} skipped`)
    for (const { what, values } of figures) {
      for (const [contender, value] of Object.entries(values)) t.ok(Number.isFinite(value), `${what}, ${contender}: ${value}`)
    }
    if (figures.length > 0) t.match(formatTable(figures), figures[0]?.what ?? '')
  })
}
