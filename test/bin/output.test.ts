// Proves for bin/terminal.ts: a reader that goes away ends a command that prints on and on, and output that cannot be written is told. With
// a real shell, pipe and /dev/full.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startGateway, temporary } from './wadi-process.ts'

const WADI = fileURLToPath(new URL('../../bin/wadi.js', import.meta.url))

/** `$W` in `script` is wadi. Killed after 20 seconds: then the code is null. */
function shell(script: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = `W='${process.execPath} ${WADI}'; set -o pipefail; ${script}`
  return new Promise((resolve) =>
    execFile('bash', ['-c', command], { timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : null) : 0
      resolve({ code, stdout, stderr })
    })
  )
}

t.test('the reader goes: the command ends, without a word', async (t) => {
  const { data } = await startGateway(t, await temporary(t))
  for (const format of ['', '--json']) {
    const { code, stdout, stderr } = await shell(`$W status -w ${format} --data ${data} | head -n 1`)
    t.same({ code, stderr }, { code: 0, stderr: '' })
    t.equal(stdout.split('\n').length, 2)
  }
})

t.test(
  'output that cannot be written: exit code and reason',
  { skip: !existsSync('/dev/full') && 'this system has no /dev/full' },
  async (t) => {
    const { data } = await startGateway(t, await temporary(t))
    for (const command of ['help', `status --data ${data}`, `status -w --data ${data}`])
      t.match(
        await shell(`$W ${command} > /dev/full`),
        { code: 74, stderr: /^The output cannot be written \(ENOSPC\): it is not complete\.\n$/ },
        command
      )
  }
)
