import t from 'tap'
import { formatCount, formatDuration, parseBytes, parseDuration } from '../../../gateway/config/units.ts'
import { formatBytes } from '../../../runtime/base/byte-text.ts'

t.test('sizes: SI and IEC are distinct, a number without a unit is refused', async (t) => {
  for (const [text, value] of [
    ['256MiB', 268_435_456],
    ['8GiB', 8_589_934_592],
    ['1.5KiB', 1536],
    ['1kB', 1000],
    ['5 GB', 5e9],
    ['12B', 12],
    ['0', 0]
  ] as const) {
    t.same(parseBytes(text), { value }, text)
  }
  t.match(parseBytes('8'), { why: /without a unit/ })
  t.match(parseBytes('8Gib'), { why: /the unit "Gib": did you mean 8GiB\?/ })
  t.match(parseBytes('8pages'), { why: /the unit "pages", known are .*GiB/ })
  t.match(parseBytes('lots'), { why: /"lots"/ })
  t.match(parseBytes('-1MiB'), { why: /expected a number with a unit/ })
  t.match(parseBytes('99999999TiB'), { why: /too large/ })
})

t.test('durations, down to parts of a millisecond', async (t) => {
  for (const [text, value] of [
    ['10ms', 10],
    ['0.5ms', 0.5],
    ['2s', 2000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000]
  ] as const) {
    t.same(parseDuration(text), { value }, text)
  }
  t.match(parseDuration('10'), { why: /without a unit/ })
  t.match(parseDuration('10 years'), { why: /the unit "years"/ })
})

t.test('numbers are printed for people', async (t) => {
  t.equal(formatBytes(311), '311 B')
  t.equal(formatBytes(3_328_599_654), '3.1 GiB')
  t.equal(formatBytes(1024 ** 2 - 1), '1.0 MiB')
  t.equal(formatDuration(0.2), '0 ms')
  t.equal(formatDuration(9_400), '9.4 s')
  t.equal(formatDuration(59_700), '1m00s')
  t.equal(formatDuration(11_520_000), '3h12m')
  t.equal(formatDuration(12 * 86_400_000 + 4 * 3_600_000), '12d04h')
  t.equal(formatCount(132), '132')
  t.equal(formatCount(45_321), '45,321')
  t.equal(formatCount(1_520_000), '1.52 M')
})
