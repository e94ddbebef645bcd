// Compiles core-wasm/assembly to core-wasm/build/{debug,release}.wasm (settings: asconfig.json). Skips what is up to date.
//   node tools/build-core.mjs           build what is older than its sources
//   node tools/build-core.mjs --force   build both
//   node tools/build-core.mjs --check   build release twice and compare the bytes; exit code 1 when they differ

import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const sources = path.join(root, 'core-wasm', 'assembly')
const build = path.join(root, 'core-wasm', 'build')
const config = path.join(root, 'asconfig.json')

async function modifiedMs(file) {
  const stats = await stat(file).catch(() => null)
  return stats === null ? 0 : stats.mtimeMs
}

/** Newest change of anything that goes into the module; the compiler's own version counts too. */
async function sourcesModifiedMs() {
  const names = (await readdir(sources)).map((name) => path.join(sources, name))
  const compiler = path.join(root, 'node_modules', 'assemblyscript', 'package.json')
  const times = await Promise.all([...names, config, compiler, fileURLToPath(import.meta.url)].map(modifiedMs))
  return Math.max(...times)
}

/** Compiles one target into `directory`; throws with the compiler's messages when that fails. */
async function compile(target, directory) {
  const outFile = path.join(directory, `${target}.wasm`)
  const unfinished = `${outFile}.${process.pid}.tmp`
  const relative = path.relative(root, unfinished)
  const { error, stderr } = await asc.main(['--config', 'asconfig.json', '--target', target, '--outFile', relative, '--baseDir', root])
  if (error !== null) throw new Error(`core-wasm: ${target} does not compile\n${stderr.toString()}`)
  await rename(unfinished, outFile) // whole or not at all: somebody may be loading it
  return outFile
}

async function checkReproducible() {
  const directory = await mkdtemp(path.join(tmpdir(), 'wadi-core-'))
  try {
    const first = await readFile(await compile('release', directory))
    const second = await readFile(await compile('release', directory))
    if (!first.equals(second)) throw new Error(`core-wasm: two release builds differ (${first.length} and ${second.length} bytes)`)
    console.log(`core-wasm: two release builds are identical (${first.length} bytes)`)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function buildStale(isForced) {
  await mkdir(build, { recursive: true })
  const newest = await sourcesModifiedMs()
  for (const target of ['debug', 'release']) {
    const outFile = path.join(build, `${target}.wasm`)
    if (!isForced && (await modifiedMs(outFile)) > newest) continue
    await compile(target, build)
    console.log(`core-wasm: built ${path.relative(root, outFile)} (${(await stat(outFile)).size} bytes)`)
  }
}

try {
  if (process.argv.includes('--check')) await checkReproducible()
  else await buildStale(process.argv.includes('--force'))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
