// Proves for runtime/uplink/backoff.ts and progress.ts: waits grow to the cap, differ between gateways, and start again after a success;
// an ETA is told only when there is one.

import t from 'tap'
import { Backoff } from '../../runtime/uplink/backoff.ts'
import { Progress } from '../../runtime/uplink/progress.ts'
import { Prng } from '../sim/prng.ts'

t.test('the delay grows up to the cap and never beyond, and reset starts over', async (t) => {
  const backoff = new Backoff({ firstMs: 100, capMs: 5_000 }, new Prng(1))
  for (let failure = 0; failure < 2_000; failure++) {
    const delayMs = backoff.nextDelayMs()
    const ceilingMs = Math.min(5_000, 100 * 2 ** failure)
    if (!(delayMs >= ceilingMs / 10 && delayMs <= ceilingMs)) t.fail(`failure ${failure}: ${delayMs} ms, ceiling ${ceilingMs} ms`)
  }
  t.equal(backoff.failures, 2_000)
  backoff.reset()
  t.ok(backoff.nextDelayMs() <= 100)
})

t.test('two gateways do not wait the same time', async (t) => {
  const delays = [1, 2, 3, 4].map((seed) => new Backoff({ firstMs: 1_000, capMs: 60_000 }, new Prng(seed)).nextDelayMs())
  t.equal(new Set(delays).size, 4)
})

t.test('rate and ETA follow what was delivered and what keeps arriving', async (t) => {
  const progress = new Progress()
  t.same(progress.rate(10, upAt(0)), { eventsPerSecond: 0, bytesPerSecond: 0, etaMs: null })
  progress.restart({ atMs: 0, deliveredEvents: 0, deliveredBytes: 0, totalEvents: 1_000 })
  progress.add({ atMs: 10_000, deliveredEvents: 500, deliveredBytes: 5_000, totalEvents: 1_100 })
  t.same(progress.rate(600, upAt(10_000)), { eventsPerSecond: 50, bytesPerSecond: 500, etaMs: 15_000 })
  t.equal(progress.rate(0, upAt(10_000)).etaMs, null)
  t.same(progress.rate(600, { nowMs: 10_000, isUp: false }), { eventsPerSecond: 0, bytesPerSecond: 0, etaMs: null }, 'a link that is down')
  t.equal(progress.rate(0, upAt(50_000)).eventsPerSecond, 10, 'nothing came for forty seconds')
  t.equal(progress.rate(0, upAt(71_000)).eventsPerSecond, 0, 'nor for a minute')
  progress.add({ atMs: 20_000, deliveredEvents: 600, deliveredBytes: 6_000, totalEvents: 3_000 })
  t.equal(progress.rate(2_400, upAt(20_000)).etaMs, null, 'more arrives than leaves')
})

t.test('the rate looks at the last minute only and keeps few samples', async (t) => {
  const progress = new Progress()
  for (let second = 0; second <= 600; second++) {
    const delivered = second <= 500 ? 0 : (second - 500) * 10
    progress.add({ atMs: second * 1_000, deliveredEvents: delivered, deliveredBytes: 0, totalEvents: 10_000 })
  }
  t.ok(Math.abs(progress.rate(100, upAt(600_000)).eventsPerSecond - 10) < 1)
})

function upAt(nowMs: number): { nowMs: number; isUp: boolean } {
  return { nowMs, isUp: true }
}
