// Kill loop: the real process under MQTT load, SIGKILL at random moments, started again; then the ledger outside the data directory is
// compared with what is stored. Proves restart; says nothing about sync (the page cache survives): that is test/sim.

import { Prng } from '../sim/prng.ts'
import { Device } from './devices.ts'
import { EventLedger, type Verdict } from './event-ledger.ts'
import { type GatewayOptions, GatewayProcess } from './gateway-process.ts'
import { readStoredEvents } from './stored-events.ts'

export interface KillLoopResult extends Verdict {
  readonly kills: number
  readonly slowestRestartMs: number
}

export interface KillLoopOptions extends Pick<GatewayOptions, 'mutation'> {
  readonly seed: number
  readonly kills: number
  readonly onKill?: (kill: number) => void
}

export async function runKillLoop(options: KillLoopOptions): Promise<KillLoopResult> {
  const prng = new Prng(options.seed)
  const ledger = new EventLedger()
  const gateway = await GatewayProcess.create(options.mutation ? { mutation: options.mutation } : {})
  const devices: Device[] = []
  let slowestRestartMs = 0
  try {
    await gateway.start()
    for (let i = 0; i < 4; i++) devices.push(new Device({ port: gateway.port, name: `device-${i}`, ledger, window: 50, padBytes: 60 }))
    for (let kill = 1; kill <= options.kills; kill++) {
      const ackedBefore = ledger.ackedCount
      await new Promise((resolve) => setTimeout(resolve, prng.between(20, 600)))
      for (let wait = 0; ledger.ackedCount === ackedBefore && wait < 200; wait++) await new Promise((resolve) => setTimeout(resolve, 20))
      await gateway.kill()
      const startedMs = performance.now()
      await gateway.start()
      slowestRestartMs = Math.max(slowestRestartMs, Math.round(performance.now() - startedMs))
      options.onKill?.(kill)
    }
    await Promise.all(devices.map((device) => device.stop()))
    await gateway.stop()
    return { ...ledger.judge(await readStoredEvents(gateway.dataDirectory, 'telemetry')), kills: options.kills, slowestRestartMs }
  } finally {
    await Promise.all(devices.map((device) => device.stop()))
    await gateway.remove()
  }
}
