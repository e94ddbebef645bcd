// Settings as kafka-configs takes them: "retention.ms=60000,cleanup.policy=[compact,delete]".

import { usageError } from './command.ts'

/** By name, in the order in which they stand there. @throws WadiError WADI_USAGE */
export function settingsOf(option: string, text: string | undefined): Map<string, string> {
  const settings = new Map<string, string>()
  for (const part of partsOf(text ?? '')) {
    const at = part.indexOf('=')
    if (at < 1)
      throw usageError(`--${option} has "${part}", which is no NAME=VALUE.`, 'A list stands in brackets: cleanup.policy=[compact,delete].')
    settings.set(part.slice(0, at).trim(), part.slice(at + 1).replace(/^\[(.*)\]$/, '$1'))
  }
  return settings
}

/** Split at commas outside of brackets. */
function partsOf(text: string): string[] {
  return text
    .split(/,(?![^[]*\])/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
