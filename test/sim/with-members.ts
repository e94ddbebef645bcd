// A thing with some of its members replaced: for canaries and for what looks on. Not for: objects that are told apart by identity.

/** `wrapped` with some members replaced; the others keep their `this`. */
export function withMembers<T extends object>(wrapped: T, members: Partial<T>): T {
  return new Proxy(wrapped, {
    get(target, name) {
      if (name in members) return members[name as keyof T]
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
