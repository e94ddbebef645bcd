// Proves for bench/build.ts: a build that was made before still finds its packages when the place they were linked from is gone.

import { copyFileSync, existsSync, mkdtempSync, readlinkSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { provideModules } from '../../bench/build.ts'

t.test('packages are linked, also where a link leads to nothing; what is there stays', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wadi-build-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  copyFileSync('package-lock.json', join(directory, 'package-lock.json'))
  const modules = join(directory, 'node_modules')
  symlinkSync(join(directory, 'gone'), modules)
  provideModules(directory)
  t.equal(readlinkSync(modules), realpathSync('node_modules'))
  t.ok(existsSync(join(modules, 'aedes')))
  rmSync(modules)
  provideModules(directory)
  t.ok(existsSync(join(modules, 'aedes')))
  rmSync(modules)
  symlinkSync(directory, modules)
  provideModules(directory)
  t.equal(readlinkSync(modules), directory)
})
