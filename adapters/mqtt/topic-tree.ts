// Names by their levels: which filters match a topic (subscriptions), and which topics match a filter (retained messages).
//
// Invariants: what begins with "$" is matched by no filter that begins with a wildcard (MQTT-4.7.2-1); a node without values and children is
// removed, so that what was subscribed once costs nothing. Names are well formed (packet-reader.ts) and have a bounded number of levels.
// Not for: who may have which filter.

import { SmallMap } from './small-map.ts'

interface Node<V> {
  children: SmallMap<string, Node<V>> | null
  values: SmallMap<string | object, V> | null
}

const newNode = <V>(): Node<V> => ({ children: null, values: null })

/** Values under names, each with a key of its own: a later one takes the place of an earlier one. */
class LevelTree<V> {
  protected readonly root = newNode<V>()
  #size = 0

  /** Values that are kept. */
  get size(): number {
    return this.#size
  }

  /** @returns what it takes the place of */
  set(name: string, key: string | object, value: V): V | undefined {
    let node = this.root
    for (const level of name.split('/')) {
      node.children ??= new SmallMap()
      let child = node.children.get(level)
      if (!child) node.children.set(level, (child = newNode()))
      node = child
    }
    node.values ??= new SmallMap()
    const before = node.values.get(key)
    node.values.set(key, value)
    if (before === undefined) this.#size++
    return before
  }

  get(name: string, key: string | object): V | undefined {
    let node: Node<V> | undefined = this.root
    for (const level of name.split('/')) node = node?.children?.get(level)
    return node?.values?.get(key)
  }

  /** @returns whether there was one */
  delete(name: string, key: string | object): boolean {
    const levels = name.split('/')
    const path = [this.root]
    for (const level of levels) {
      const child = path.at(-1)?.children?.get(level)
      if (!child) return false
      path.push(child)
    }
    const last = path.at(-1) as Node<V>
    if (!last.values?.delete(key)) return false
    this.#size--
    if (last.values.size === 0) last.values = null
    for (let depth = levels.length; depth > 0; depth--) {
      const node = path[depth] as Node<V>
      if (node.values || node.children) break
      const parent = path[depth - 1] as Node<V>
      parent.children?.delete(levels[depth - 1] as string)
      if (parent.children?.size === 0) parent.children = null
    }
    return true
  }
}

/** Filters of subscribers. */
export class FilterTree<K extends string | object, V> extends LevelTree<V> {
  /** Every value whose filter matches `topic`; a subscriber with several such filters is visited for each. */
  match(topic: string, visit: (key: K, value: V) => void): void {
    if (this.size > 0) this.#descend(this.root, topic.split('/'), 0, visit)
  }

  #descend(node: Node<V>, levels: readonly string[], depth: number, visit: (key: K, value: V) => void): void {
    const { children } = node
    const level = levels[depth]
    const mayBeWild = depth > 0 || !levels[0]?.startsWith('$')
    if (children && mayBeWild) visitAll(children.get('#'), visit)
    if (level === undefined) return visitAll(node, visit)
    if (!children) return
    const exact = children.get(level)
    if (exact) this.#descend(exact, levels, depth + 1, visit)
    const one = mayBeWild ? children.get('+') : undefined
    if (one) this.#descend(one, levels, depth + 1, visit)
  }
}

/** Values under topic names. */
export class TopicTree<V> extends LevelTree<V> {
  /** Every value whose topic `filter` matches. */
  match(filter: string, visit: (value: V) => void): void {
    this.#descend(this.root, filter.split('/'), 0, (_key, value) => visit(value))
  }

  #descend(node: Node<V>, levels: readonly string[], depth: number, visit: (key: unknown, value: V) => void): void {
    const level = levels[depth]
    if (level === undefined) return visitAll(node, visit)
    if (level === '#') {
      if (depth > 0) visitAll(node, visit)
      return this.#visitBelow(node, depth, visit)
    }
    if (level !== '+') {
      const child = node.children?.get(level)
      if (child) this.#descend(child, levels, depth + 1, visit)
      return
    }
    node.children?.visit((name, child) => {
      if (depth > 0 || !name.startsWith('$')) this.#descend(child, levels, depth + 1, visit)
    })
  }

  #visitBelow(node: Node<V>, depth: number, visit: (key: unknown, value: V) => void): void {
    node.children?.visit((name, child) => {
      if (depth === 0 && name.startsWith('$')) return
      visitAll(child, visit)
      this.#visitBelow(child, depth + 1, visit)
    })
  }
}

function visitAll<K, V>(node: Node<V> | undefined, visit: (key: K, value: V) => void): void {
  node?.values?.visit((key, value) => visit(key as K, value))
}

/** One filter alone; as FilterTree.match() for many. */
export function matchesFilter(filter: string, topic: string): boolean {
  const levels = topic.split('/')
  const parts = filter.split('/')
  if (topic.startsWith('$') && (parts[0] === '#' || parts[0] === '+')) return false
  for (const [depth, part] of parts.entries()) {
    if (part === '#') return true
    if (depth >= levels.length || (part !== '+' && part !== levels[depth])) return false
  }
  return parts.length === levels.length
}
