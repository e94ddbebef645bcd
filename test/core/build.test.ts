// Proves for tools/build-core.mjs: the same sources give the same bytes, and the module stays small.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { readCoreWasm } from '../helpers/core.ts'

function projectRoot(): string {
  let directory = import.meta.dirname
  while (!existsSync(path.join(directory, 'asconfig.json'))) directory = path.dirname(directory)
  return directory
}

t.test('two release builds are identical', { timeout: 120_000 }, async (t) => {
  const script = path.join(projectRoot(), 'tools', 'build-core.mjs')
  const output = execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8', cwd: path.parse(script).root })
  t.match(output, /identical/)
})

t.test('the release module is at most 32 KB', async (t) => {
  t.ok(readCoreWasm('release').length <= 32_768)
})
