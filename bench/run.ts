// `npm run bench [-- NAME…] [--smoke] [--against COMMIT] [--forget COMMIT] [--minutes N]`: JSON lines, then a table; full runs are kept
// in bench/results/<machine>.jsonl. --against measures a build of that commit too, in turn (bench/build.ts); --forget removes that build.

import { appendFileSync, mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { benches } from './benches.ts'
import { buildOf, forgetBuild, ownBuild } from './build.ts'
import { formatTable, runBenches } from './harness.ts'

const RESULTS = 'bench/results'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    against: { type: 'string' },
    forget: { type: 'string' },
    minutes: { type: 'string' }
  }
})
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name))
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
if (unknown.length > 0 || (minutes !== undefined && !(minutes > 0))) {
  const names = benches.map((bench) => bench.name).join(', ')
  console.error(unknown.length > 0 ? `no bench ${unknown.join(', ')}; there are: ${names}` : '--minutes wants a number')
  process.exitCode = 2
} else if (values.forget !== undefined) {
  console.log(`removed: ${forgetBuild(values.forget) ?? 'nothing, it was not there'}`)
} else {
  const chosen = positionals.length === 0 ? benches : benches.filter((bench) => positionals.includes(bench.name))
  if (!values.smoke) mkdirSync(RESULTS, { recursive: true })
  const figures = await runBenches(chosen, {
    isSmoke: values.smoke,
    builds: values.against === undefined ? [ownBuild] : [ownBuild, buildOf(values.against)],
    ...(minutes !== undefined && { minutes }),
    write(line) {
      console.log(line)
      if (!values.smoke) appendFileSync(`${RESULTS}/${hostname()}.jsonl`, `${line}\n`)
    }
  })
  console.log(`\n${formatTable(figures)}`)
}
