// What a server under test is seen to do from outside: whether it takes connections, its memory and its processor time. Not for: starting it.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'

/** USER_HZ is 100 wherever Linux runs Node. */
const MS_PER_TICK = 10

/** Resident bytes now; NaN where /proc does not tell. */
export function residentBytesOf(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kib === undefined ? Number.NaN : Number(kib) * 1024
  } catch {
    return Number.NaN
  }
}

/** Of its main thread and all others, since it began; NaN where /proc does not tell. */
export function cpuMsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')
    return (Number(fields?.[11]) + Number(fields?.[12])) * MS_PER_TICK
  } catch {
    return Number.NaN
  }
}

/** Whether somebody listens on a port of 127.0.0.1. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}
