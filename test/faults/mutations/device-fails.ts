// Loaded before the gateway (node --import): not the gateway is broken but its device. While the file WADI_TEST_DEVICE_FAILS names is
// there, whatever is to reach the device is EIO; with WADI_TEST_DEVICE_HANGS=1 the start never gets an answer from it.

import { existsSync } from 'node:fs'
import { DiskError } from '../../../runtime/io/disk.ts'
import { nodeDisk } from '../../../runtime/io/node-disk.ts'

const trigger = process.env.WADI_TEST_DEVICE_FAILS ?? ''

type Operation = (...operands: never[]) => Promise<unknown>

function breakable<T extends object>(owner: T, name: keyof T & string, path: string): void {
  const whole = owner[name] as Operation
  const broken = async (...operands: never[]): Promise<unknown> => {
    if (existsSync(trigger)) throw new DiskError('EIO', { operation: name, path })
    return whole.apply(owner, operands)
  }
  Object.defineProperty(owner, name, { value: broken })
}

const open = nodeDisk.open
nodeDisk.open = async (path, mode) => {
  const file = await open(path, mode)
  for (const name of ['writeAt', 'writeDurableAt', 'sync', 'truncate'] as const) breakable(file, name, path)
  return file
}
for (const name of ['rename', 'syncDirectory', 'remove'] as const) breakable(nodeDisk, name, 'a directory')

if (process.env.WADI_TEST_DEVICE_HANGS === '1') {
  nodeDisk.lock = () => new Promise(() => setInterval(() => undefined, 1_000))
}
