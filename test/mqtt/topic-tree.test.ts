// Proves for adapters/mqtt/topic-tree.ts: the same matches as a matcher of one filter and one topic, written apart; nothing is left behind.

import t from 'tap'
import { FilterTree, matchesFilter, TopicTree } from '../../adapters/mqtt/topic-tree.ts'
import { Prng } from '../sim/prng.ts'

/** MQTT 3.1.1, 4.7, level by level. */
function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  if (topic.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return true
    if (at >= levels.length || (level !== '+' && level !== levels[at])) return false
  }
  return wanted.length === levels.length
}

const LEVELS = ['a', 'b', '', '$SYS', 'constructor', '__proto__']

function name(prng: Prng, wildcards: boolean): string {
  const levels = Array.from({ length: prng.between(1, 4) }, () => (wildcards && prng.chance(30) ? '+' : prng.pick(LEVELS)))
  if (wildcards && prng.chance(25)) levels.push('#')
  return levels.join('/')
}

t.test('filters find topics, and topics filters, as the standard says', (t) => {
  const prng = new Prng(1)
  for (let round = 0; round < 300; round++) {
    const filters = [...new Set(Array.from({ length: 20 }, () => name(prng, true)))]
    const topics = [...new Set(Array.from({ length: 20 }, () => name(prng, false)))]
    const filterTree = new FilterTree<string, string>()
    const topicTree = new TopicTree<string>()
    for (const filter of filters) filterTree.set(filter, 'somebody', filter)
    for (const topic of topics) topicTree.set(topic, 'one', topic)
    for (const topic of topics) {
      const found: string[] = []
      filterTree.match(topic, (_, filter) => found.push(filter))
      t.same(found.sort(), filters.filter((filter) => matches(filter, topic)).sort(), topic)
    }
    for (const filter of filters) {
      const found: string[] = []
      topicTree.match(filter, (topic) => found.push(topic))
      const expected = topics.filter((topic) => matches(filter, topic)).sort()
      t.same(found.sort(), expected, filter)
      t.same(topics.filter((topic) => matchesFilter(filter, topic)).sort(), expected, filter)
    }
  }
  t.end()
})

t.test('values have keys of their own, and what is deleted is gone', (t) => {
  const tree = new FilterTree<string, number>()
  t.equal(tree.set('a/+', 'x', 1), undefined)
  t.equal(tree.set('a/+', 'x', 2), 1)
  tree.set('a/+', 'y', 3)
  tree.set('a/+/b', 'y', 4)
  t.equal(tree.size, 3)
  t.equal(tree.get('a/+', 'x'), 2)
  const found: [string, number][] = []
  tree.match('a/z', (key, value) => found.push([key, value]))
  t.same(found, [
    ['x', 2],
    ['y', 3]
  ])
  t.notOk(tree.delete('a/+', 'z'))
  t.notOk(tree.delete('a/#', 'x'))
  for (const [filter, key] of [
    ['a/+', 'x'],
    ['a/+', 'y'],
    ['a/+/b', 'y']
  ] as const)
    t.ok(tree.delete(filter, key))
  t.equal(tree.size, 0)
  t.same(tree, new FilterTree(), 'no node is left')
  t.end()
})
