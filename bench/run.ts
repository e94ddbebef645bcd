// `npm run bench [-- NAME…] [--smoke]`: JSON lines, then a table; full runs are kept in bench/results/<machine>.jsonl.

import { appendFileSync, mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { benches } from './benches.ts'
import { formatTable, runBenches } from './harness.ts'

const RESULTS = 'bench/results'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { smoke: { type: 'boolean', default: false } } })
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name))
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(', ')}; there are: ${benches.map((bench) => bench.name).join(', ')}`)
  process.exitCode = 2
} else {
  const chosen = positionals.length === 0 ? benches : benches.filter((bench) => positionals.includes(bench.name))
  if (!values.smoke) mkdirSync(RESULTS, { recursive: true })
  const figures = await runBenches(chosen, {
    isSmoke: values.smoke,
    write(line) {
      console.log(line)
      if (!values.smoke) appendFileSync(`${RESULTS}/${hostname()}.jsonl`, `${line}\n`)
    }
  })
  console.log(`\n${formatTable(figures)}`)
}
