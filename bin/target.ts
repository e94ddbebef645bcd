// Which gateway a command means: --data DIR, else the data directory of -c FILE, else that of the file that WADI_CONFIG names, of
// ./wadi.yaml, else WADI_DATA, else that of /etc/wadi/wadi.yaml, else ./wadi-data where there is one.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Config } from '../gateway/config/schema.ts'
import { WadiError } from '../runtime/base/errors.ts'
import type { CommandInput, OptionSpec } from './command.ts'

export const DEFAULT_CONFIG_FILE = 'wadi.yaml'
const SYSTEM_CONFIG_FILE = '/etc/wadi/wadi.yaml'
const DEFAULT_DATA = 'wadi-data'
/** For help. */
export const CONFIG_PLACES = `that of WADI_CONFIG, ./${DEFAULT_CONFIG_FILE}, ${SYSTEM_CONFIG_FILE}`

export const targetOptions: readonly OptionSpec[] = [
  { name: 'data', value: 'DIR', doc: 'data directory of the gateway (default: the one in wadi.yaml)' },
  {
    name: 'config',
    short: 'c',
    value: 'FILE',
    doc: `configuration that names it (default: ${CONFIG_PLACES})`
  }
]

export async function dataDirectoryOf(input: CommandInput): Promise<string> {
  const named = input.text('data')
  if (named !== undefined) return resolve(named)
  const file = input.text('config')
  const path = file ?? configFile()
  const { WADI_DATA } = process.env
  if (WADI_DATA && (path === null || path === SYSTEM_CONFIG_FILE) && file === undefined) return resolve(WADI_DATA)
  if (path !== null) return (await readConfigFile(path)).config.gateway.data
  if (existsSync(DEFAULT_DATA)) return resolve(DEFAULT_DATA)
  throw noConfiguration()
}

/** The one of WADI_CONFIG, whether it is there or not; else the first that is there; null = there is none. */
export function configFile(): string | null {
  return process.env.WADI_CONFIG || ([DEFAULT_CONFIG_FILE, SYSTEM_CONFIG_FILE].find((path) => existsSync(path)) ?? null)
}

function noConfiguration(): WadiError {
  return new WadiError('WADI_USAGE', {
    happened: `There is no configuration to tell which gateway is meant: neither ./${DEFAULT_CONFIG_FILE} nor ${SYSTEM_CONFIG_FILE}, and WADI_CONFIG is not set.`,
    kept: 'Nothing was touched.',
    next: 'Name the configuration with -c FILE, or the data directory with --data DIR ("wadi dev" prints its own).'
  })
}

/**
 * The checked configuration, and what in it does not do what it seems to say; relative paths in it are relative to the file, not to where the
 * command runs.
 * @throws WadiError WADI_CONFIG_INVALID
 */
export async function readConfigFile(path: string): Promise<{ config: Config; warnings: readonly string[] }> {
  const source = readSource(path)
  const { configError, formatProblem, readConfig } = await import('../gateway/config/load.ts')
  const { config, problems, warnings } = readConfig(source, { fileName: path, environment: process.env })
  if (problems.length > 0) throw configError(problems, path)
  const { withAbsolutePaths } = await import('../gateway/config/tls-config.ts')
  return {
    config: withAbsolutePaths(config, dirname(path)),
    warnings: warnings.map((warning) => formatProblem(warning, path))
  }
}

export function readSource(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new WadiError('WADI_CONFIG_INVALID', {
      happened: `The configuration ${path} cannot be read (${code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : code}).`,
      kept: 'Nothing was started.',
      next: 'Name a file with -c FILE, or try "wadi dev", which needs none.',
      cause
    })
  }
}
