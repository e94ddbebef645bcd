// Apache Kafka's jars: resolved by Maven once per pom.xml into a cache outside the checkout.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const RESOLVE_TIMEOUT_MS = 300_000
const POM = join('test', 'kafka', 'pom.xml')

/** pom.xml is not compiled, so it lies in the checkout while this file may run from a build directory below it. */
function findPom(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const candidate = join(directory, POM)
    if (existsSync(candidate)) return candidate
    if (directory === dirname(directory)) throw new Error(`${POM} not found above ${fileURLToPath(import.meta.url)}`)
  }
}

async function needs(command: string, args: readonly string[], purpose: string): Promise<void> {
  try {
    await run(command, args, { timeout: 30_000 })
  } catch (error) {
    throw new Error(`The tests against a real Kafka need ${command} on the PATH (${purpose}).`, { cause: error })
  }
}

/** Class path for `java -cp`. @throws Error that says what to install, when Java or Maven is missing */
export async function resolveKafka(): Promise<string> {
  await needs('java', ['-version'], 'Java 17 or newer, to run it')
  const pom = findPom()
  const digest = createHash('sha256')
    .update(await readFile(pom))
    .digest('hex')
    .slice(0, 16)
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'wadi-kafka')
  const jars = join(cache, digest)
  if (!existsSync(jars)) {
    await needs('mvn', ['-version'], 'Maven 3, to fetch it once')
    await mkdir(cache, { recursive: true })
    // Whoever comes first wins the rename; a half-filled directory never gets the final name.
    const staging = await mkdtemp(join(cache, 'resolving-'))
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${staging}`], {
      timeout: RESOLVE_TIMEOUT_MS
    })
    await rename(staging, jars).catch(async (error: NodeJS.ErrnoException) => {
      await rm(staging, { recursive: true, force: true })
      if (!existsSync(jars)) throw error
    })
  }
  return join(jars, '*')
}
