// Whatever stands in a file is told with a place in it; nothing makes the reader throw.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { readConfig } from '../../../gateway/config/load.ts'
import { Prng } from '../../sim/prng.ts'

const SEED = Number(process.env.SEED ?? Math.trunc(Math.random() * 2 ** 31))
const FILES = 300
const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  ' #',
  '\t',
  '\n',
  '---\n',
  ': ',
  ':',
  '*',
  '&a ',
  '*a',
  '<<: ',
  '!',
  '|',
  '- ',
  '@',
  '\\',
  '\0',
  `\${`,
  '~',
  '{a}',
  '\r'
]

t.test(`files with slips in them, SEED=${SEED}`, async (t) => {
  const random = new Prng(SEED)
  const right = readFileSync('docs/wadi.yaml', 'utf8')
  for (let file = 0; file < FILES; file++) {
    let source = right
    for (let slip = random.below(4); slip >= 0; slip--) {
      const at = random.below(source.length)
      source = source.slice(0, at) + random.pick(PIECES) + source.slice(at + random.below(30) * random.below(2))
    }
    const { problems } = readConfig(source, { fileName: 'f', environment: {} })
    const lines = source.split('\n').length
    const lost = problems.filter(({ place, message }) => message === '' || (place !== null && !(place.line >= 1 && place.line <= lines)))
    if (lost.length > 0) t.same(lost, [], source)
  }
  t.pass(`${FILES} files`)
})
