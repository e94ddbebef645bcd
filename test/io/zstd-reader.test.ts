// Proves for the zstd reader of old versions of Node: frames of the real zstd come back, and whatever is wrong with one is a RangeError.
// The frames below were made by zstd 1.5.4 (-3 with checksum; -19 without).

import t from 'tap'
import { loadZstdReader } from '../../runtime/io/zstd-reader.ts'
import { zstdStored } from '../helpers/compressors.ts'
import { Prng } from '../sim/prng.ts'

const plain = Buffer.from(
  Array.from({ length: 200 }, (_, i) => `{"n":${i},"celsius":${((i * 7919) % 500) / 10},"hall":"${'abc'[i % 3]}"}`).join('')
)
const frames = [
  'KLUv/WSZGUUfAAbqVxiAGTQdOji8nch3i5GgSESEbLmt5dQEFQtbAFQASwBFLJEniqZmeWMyEnXSHZKVog46Tjb1EJ0hGalbH70JuoY+wq3q0if++1DoHA2DxjiwSmuY3BjOMDKUq2UYxDMDSXaG6wWAAggAGBiUACGhAMFg4AAChADAAYBC9qZnc4WMDZqyNmdMXGouR6hYsZTKiWKmlFyKClkuckghHZMjEZukh+RKERuTTo5omOCo4ThSw2qUHoKGGYSjRvXrVKkxilWzDlW5qFrkEQVreGRaVveujS6/2up+b3T5sXi/N7r0cav7vV2ij9bbLh2t+mVxBwlSXOJT4hObuCS+KUpcU+fIsfqU6JzgMcNTUufqGF06d8hYoekoczQBCwDGW9/2pY823u/Y5/7RxlvfZlo2H21sma9s94+KEUtFlTO1TWXj5Vfb/aONLr/a7h9tdPlto+Jx5rFROY613e+NqmTddYI/qMIoa62zGYINiYAQYpX5EkgQIHQQhHVeJckD5LAAwyoKe00qbLgJS/EH+0jBvtHARgawufw13X5tu96VZWyuSyF9dat8LeS9CumVy+sFVvMKfLzySSC6uHzXE7pdJ5oxPOEyldpF/aJrgM+1Ra6DaD/3Y0lXaavNsRVUWy+cK1tVirqsq3vUSsi0PqG1OusQ+lnd3Kw3KqtlkXWIjdVGrHpYpyEKK+uD9Qx89UmvWpWuDpSrcW0V/1rtkwRtiq4OA6yKv3HhechVVtUm6VXNT6uqm1N1dKo0JL5ZFx+qpk/lnTropoJx6oVTC0yvXmdqhS/1rNRTUq+QKh01uXZUrjfqJRf1kogabB4qUqgLdWlNBJUqQB2Xnwq0TyteT388LXc6Nt2paOu0yyGn2xPGNVe956bV1KZzhrAoa1qqmqbi4mf6wrZMferH1BOYtnspl168NH3pgHhlgHivU3vC6Lc9iRDakz9HfTGJtB/1ARnSnkLf+NGem09SVvX9stFk6vWfQymZkwpccnE+4IbUgd2oCl9USI90aQxcHl43zqggUlKH3TzEHiz17qjAUYpExp2ec4B+LB9ViIsag6bWEaoEYybvuJjvz1ddpjRPNCgpteioIVpU0qiWUP1SVWZg0dXhp4A7KqeQzGOQQUlULOsIn3KXY5pRPpK6RvGCyu6UHEAph5F0in8FloDiaCmtosqLP+MY9ZRuL5UVx/JTrFEFYH0ifMM2xh95VJQD8IFjp6TfiXCHm6riRxialkzhItVNvX2lAiMKhBLAJ8hJ/GuCAjKpu6QyzQCWjJQCJkGeu3zW87lBcktuGLUl/xp0+dflsy439mVukJT7X0AAtAfUWgE3+EC+',
  'KLUv/WCZGTUbACpNAAkXoKnSAc+GYeburaqwlVJKmVLaslN/1QOUAIkAgQA0aqMmZsRDcK53JN0rzr+pPBaOy/x/Rp9WfW3IS8O5u9z1ZC+MPxLHhGHZe89qmxZe1+j0BHPBaudSPXr6laWxeVQW78x0aWxbq7LkUE5e7E70yuEXKoxRgzLxOftNWstaIFkM5KbVhcnz56PEKmTDz6ImQLM7oMazwYGAgwAHCBAIMKBgwQEFCAoQOAAQAhwkOGAQvATG6hEomwfOgg6kuQ2s0QwMD4EcvaoTKu+c+lqpWHCUjPyayV20t2oliw3FVYu6MZEXH/osFCODZMXTbGqihUs1n9RAXGBNR6TxpDPfLRPrY2ThMyMPTdipvRw7DMeXdHUSb0a+oEjMDZHRl1nZQptXakE5g3BtRRdM4ZEnPrlE7BGy8jELdQR0kEZssCZlMByCnF9nRzq9mvMbyhmLximzf854n7R6z9rwFIaTe8vsajK98DE/upgxCVN23py1NmnBNWtkmvNgclFlZ1LpsVN+VSlj4yhl8Zczu6SRLWtFltRQcuIiu59Ir0N+gULGiEHKpCdnt0laX7IWSFYguWEFdlEK9OwJ/AIcuYqdnIrep/iVUoyFRlFGfXEmdpH2t1gri2QocsUidlMieuEhfr4QYwyirE6cDU2kRUus2ST2gciFGnZEQ084w++VYayOoSz8wxndQ5p0WDs5dMOQo0vYlUnozUf4hQhjZghl7IWzqoW0cYW1OIUPQq6sYBdKQY86wU8swdgfQVkfnIWBkqgRMERW72wG4WZQ0AMRJAQIAUKAJ8L8AmXHaM2iuK6r6T+hJ83aiXaxLmTr551OowrUbIKzZfYnvX6nx/gqKdNtPSGdZCMvKxU2tM33+oqGHc9anqKE1As2CWfW8fqzTu94xUHbz6sVLDuqmsbTjJyz8+z52xW0rFob2oZ0mkW7nmfRM08BkmU/+XtdYQWrExk5G5+cdkE2KlMtD1Sj2bY502Et/gwsNOoYesVMMx6q1ZwBDM/w56RYO/IQH1KNaMeFOcdnDKjyAZWikZaeihMzBYbFSwrj5QV5zMyNfliiPTt9Liwomys0sY+NOoZetDXVQDw3/JwCUuhNOy7Qvd6ilzwV4RhMPHQkYC5dSLA5bMEVYlvOOgHlDQgSoB44qw=='
].map((text) => Buffer.from(text, 'base64'))

t.test('frames of the real zstd, one or more, and stored blocks', async (t) => {
  const read = await loadZstdReader()
  for (const frame of frames) t.same(Buffer.from(read(frame, plain.byteLength)), plain)
  t.same(Buffer.from(read(Buffer.concat(frames), 2 * plain.byteLength)), Buffer.concat([plain, plain]))
  t.same(Buffer.from(read(zstdStored(plain), 100_000)), plain)
})

t.test('nothing larger than allowed, nothing cut, nothing else', async (t) => {
  const read = await loadZstdReader()
  for (const frame of frames) {
    t.throws(() => read(frame, plain.byteLength - 1), RangeError)
    t.throws(() => read(frame.subarray(0, -1), plain.byteLength), RangeError)
  }
  // 300,000 times "x" in 30 bytes
  const bomb = Buffer.from('KLUv/aDgkwQAVAAAEHh4AQD7/znAAgIAEHgDnwR4', 'base64')
  t.throws(() => read(bomb, 299_999), RangeError)
  t.equal(read(bomb, 300_000).byteLength, 300_000)
  t.throws(() => read(Buffer.from('not compressed at all'), 1_000), RangeError)
})

t.test('any changed frame is read as something no larger than allowed, or is a RangeError', async (t) => {
  const read = await loadZstdReader()
  let refused = 0
  for (let seed = 1; seed <= 500; seed++) {
    const prng = new Prng(seed)
    const frame = Buffer.from(prng.pick(frames))
    for (let flips = prng.between(1, 4); flips > 0; flips--) frame[prng.below(frame.byteLength)] = prng.below(256)
    try {
      t.ok(read(frame, 20_000).byteLength <= 20_000)
    } catch (error) {
      t.ok(error instanceof RangeError, String(error))
      refused++
    }
  }
  t.ok(refused > 250, `${refused} were refused`)
})
