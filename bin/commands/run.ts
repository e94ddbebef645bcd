// wadi run: the gateway in the foreground, as a service runs it.

import type { Command } from '../command.ts'
import { YoungSpace } from '../heap.ts'
import { CONFIG_PLACES, configFile, DEFAULT_CONFIG_FILE, readConfigFile } from '../target.ts'
import { printErrorsAsJson } from '../terminal.ts'

export const run: Command = {
  name: 'run',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'Run the gateway in the foreground',
  details: `SIGTERM or Ctrl-C stops accepting, finishes what was begun and exits within 10 seconds; a second one ends it at once.
SIGHUP has the certificates of TLS listeners looked at (docs/tls.md), SIGUSR1 and SIGUSR2 change nothing. When storage fails for good it exits with 74 for the service manager to start it again
(storage.on_failure); limit how often, as docs/errors.md shows under WADI_LOG_FAILED.
What it has to say goes to stderr: lines for people on a terminal, JSON lines elsewhere.`,
  options: [
    {
      name: 'config',
      short: 'c',
      value: 'FILE',
      doc: `configuration (default: ${CONFIG_PLACES})`
    },
    { name: 'json', doc: 'JSON lines on stderr, also on a terminal' },
    { name: 'text', doc: 'lines for people on stderr, also elsewhere' }
  ],
  examples: ['wadi run', 'wadi run -c /etc/wadi/wadi.yaml'],

  async run(input) {
    const youngSpace = new YoungSpace()
    const isJson = input.flag('json') || (!input.flag('text') && !process.stderr.isTTY)
    if (isJson) printErrorsAsJson()
    const { config, warnings } = await readConfigFile(input.text('config') ?? configFile() ?? DEFAULT_CONFIG_FILE)
    const { serve } = await import('../serve.ts')
    return serve(config, {
      signal: input.signal,
      youngSpace,
      warnings,
      isJson
    })
  }
}
