// `npm run prove -- RIG [OPTIONS]`: proofs that take longer, or need more of the machine, than a test may. Without a name it lists them.
// A rig tells what it does on stderr, ends with one JSON line on stdout, and with exit code 1 when the promise was broken.

import { powerRig } from './power/power-rig.ts'
import type { Rig } from './rig.ts'

const rigs: readonly Rig[] = [powerRig]

function overview(): string {
  const width = Math.max(...rigs.map(({ name }) => name.length))
  const lines = rigs.map(({ name, proves }) => `  npm run prove -- ${name.padEnd(width)}   ${proves}`)
  return `Proofs of the promises; each tells its options with --help.\n\n${lines.join('\n')}\n\nexit codes: 0 proved, 1 disproved, 2 cannot run here`
}

const [name, ...args] = process.argv.slice(2)
const rig = rigs.find((candidate) => candidate.name === name)
if (name === undefined || name === '--help' || name === '-h') console.log(overview())
else if (!rig) {
  console.error(`there is no rig "${name}".\n\n${overview()}`)
  process.exitCode = 2
} else if (args.includes('--help') || args.includes('-h')) console.log(rig.help)
else process.exitCode = await rig.run(args)
