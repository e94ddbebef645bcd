// Builds of this repository that one run compares: ours, and that of another commit (`--against COMMIT`).
//
// The other one lies below the system's temporary directory, is built once and used again: `--forget` removes it. It is asked by
// today's benches: our bench/ is laid over its sources, so only what it measures is old. What that build's types do not know is left
// out of account (tsc writes all the same); a worker that needs what the old build lacks fails when it runs, and says so.
// Not for: anything outside of bench/.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Build {
  /** In figures; of another commit as git describes it: g and seven digits. */
  readonly name: string
  /** Where its compiled files are. */
  readonly dist: string
}

const MINUTES_MS = 60_000

export const ownBuild: Build = { name: 'wadi', dist: fileURLToPath(new URL('..', import.meta.url)) }

/** The build of `commit`, made when it is not there yet. @throws Error when git, npm or the build fail */
export function buildOf(commit: string): Build {
  const hash = run('.', 'git', 'rev-parse', '--verify', `${commit}^{commit}`)
  const directory = directoryOf(hash)
  if (!existsSync(directory)) {
    const scratch = `${directory}.${process.pid}`
    mkdirSync(scratch, { recursive: true })
    try {
      execFileSync('sh', ['-c', `git archive ${hash} | tar -x -C "${scratch}"`], { stdio: ['ignore', 'ignore', 'inherit'] })
      provideModules(scratch)
      run(scratch, 'npm', 'run', '--silent', 'build')
      renameSync(scratch, directory)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  } else provideModules(directory)
  layBenchesOver(directory)
  return { name: `g${hash.slice(0, 7)}`, dist: join(directory, 'dist') }
}

/**
 * Packages for a build: ours when the lock file is the same, else its own. A build made before may have a link to the packages of a directory that is
 * gone by now: it is made anew. @throws Error when npm fails
 */
export function provideModules(directory: string): void {
  const modules = join(directory, 'node_modules')
  if (existsSync(modules)) return // follows links: false when the place it leads to is gone
  rmSync(modules, { force: true })
  const isSameLock = readFileSync('package-lock.json').equals(readFileSync(join(directory, 'package-lock.json')))
  if (isSameLock) symlinkSync(realpathSync('node_modules'), modules)
  else run(directory, 'npm', 'ci', '--no-audit', '--no-fund')
}

/** Removes what buildOf() keeps. @returns its place; null when there was none */
export function forgetBuild(commit: string): string | null {
  const directory = directoryOf(run('.', 'git', 'rev-parse', '--verify', `${commit}^{commit}`))
  if (!existsSync(directory)) return null
  rmSync(directory, { recursive: true })
  return directory
}

function directoryOf(hash: string): string {
  return join(tmpdir(), `wadi-bench-build-${hash.slice(0, 12)}`)
}

function layBenchesOver(directory: string): void {
  const hash = createHash('sha256')
  for (const file of readdirSync('bench').filter((name) => name.endsWith('.ts')))
    hash.update(file).update(readFileSync(join('bench', file)))
  const stamp = join(directory, '.benches')
  const wanted = hash.digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(join(directory, 'bench'), { recursive: true, force: true })
  cpSync('bench', join(directory, 'bench'), { recursive: true, filter: (path) => !path.includes('results') })
  try {
    run(directory, 'npx', 'tsc', '-p', 'tsconfig.json')
  } catch (error) {
    if (!existsSync(join(directory, 'dist/bench/build.js'))) throw error
  }
  writeFileSync(stamp, wanted)
}

function run(directory: string, command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 10 * MINUTES_MS
  }).trim()
}
