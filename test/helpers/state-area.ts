// An area of the durable state for tests of the store: it takes keys of no area of its own.

import { STATE_VALUE_BYTES_MAX, StateArea } from '../../runtime/log/state-area.ts'

export const testArea = new StateArea<Uint8Array>(
  'test',
  { encode: (value) => value, decode: (value) => value },
  { keys: '<anything>', valueBytesMax: STATE_VALUE_BYTES_MAX, entries: 'as the test', goes: 'as the test' }
)
