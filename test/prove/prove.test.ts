// Proves for the command `npm run prove`: it lists its rigs, explains them, and says what is missing instead of passing.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const SCRIPT = fileURLToPath(new URL('run.js', import.meta.url))

function prove(args: readonly string[], env: NodeJS.ProcessEnv = process.env): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8', env })
  return { code: status, stdout, stderr }
}

t.test('without a name, and with --help, the rigs are listed', async (t) => {
  for (const args of [[], ['--help']]) t.match(prove(args), { code: 0, stdout: /npm run prove -- power/ })
  t.match(prove(['power', '--help']), { code: 0, stdout: /--images N/ })
})

t.test('an unknown rig and an unknown option end with 2', async (t) => {
  t.match(prove(['powr']), { code: 2, stdout: '', stderr: /no rig "powr"/ })
  t.match(prove(['power', '--imges', '3']), { code: 2, stdout: '', stderr: /imges/ })
  t.match(prove(['power', '--images', 'x']), { code: 2, stdout: '', stderr: /--images x/ })
})

t.test('where it cannot run it names what is missing and does not pass', async (t) => {
  const { code, stdout, stderr } = prove(['power'], { ...process.env, PATH: '' })
  t.equal(code, 2)
  t.equal(stdout, '', 'no verdict')
  t.match(stderr, /nbdfuse: apt-get install libnbd-bin/)
})
