// Which gateway a command means: --data DIR, else the data directory of -c FILE, else of ./wadi.yaml, else WADI_DATA, else ./wadi-data.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Config } from '../gateway/config/schema.ts'
import { WadiError } from '../runtime/base/errors.ts'
import type { CommandInput, OptionSpec } from './command.ts'

export const DEFAULT_CONFIG_FILE = 'wadi.yaml'

export const targetOptions: readonly OptionSpec[] = [
  { name: 'data', value: 'DIR', doc: 'data directory of the gateway (default: the one in wadi.yaml)' },
  { name: 'config', short: 'c', value: 'FILE', doc: `configuration that names it (default: ./${DEFAULT_CONFIG_FILE})` }
]

export async function dataDirectoryOf(input: CommandInput): Promise<string> {
  const named = input.text('data')
  if (named !== undefined) return resolve(named)
  const file = input.text('config')
  if (file !== undefined || existsSync(DEFAULT_CONFIG_FILE)) return (await readConfigFile(file ?? DEFAULT_CONFIG_FILE)).config.gateway.data
  return resolve(process.env.WADI_DATA ?? 'wadi-data')
}

/**
 * The checked configuration, and what in it does not do what it seems to say; a relative data directory is relative to the file, not to where
 * the command runs.
 * @throws WadiError WADI_CONFIG_INVALID
 */
export async function readConfigFile(path: string): Promise<{ config: Config; warnings: readonly string[] }> {
  const source = readSource(path)
  const { configError, formatProblem, readConfig } = await import('../gateway/config/load.ts')
  const { config, problems, warnings } = readConfig(source, { fileName: path, environment: process.env })
  if (problems.length > 0) throw configError(problems, path)
  return {
    config: { ...config, gateway: { ...config.gateway, data: resolve(dirname(path), config.gateway.data) } },
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
