// The collector of V8, without a flag for the whole run. Objects of the function that calls it may survive: it is called in loops, or twice.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
