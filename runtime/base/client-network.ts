// Whom the limit of connections per address counts as one. Who has IPv6 has 2^64 addresses at least: a /64 is what one subscriber, or one LAN, is given.
// Not for: the limit (limits.ts), counting (listener.ts).

const GROUPS = 8
const NETWORK_GROUPS = 4
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/

/** @param address as the kernel writes it @returns an IPv4 address, or a /64 of IPv6, a link-local one with its link */
export function clientNetworkOf(address: string): string {
  if (!address.includes(':')) return address
  const mapped = MAPPED.exec(address)
  if (mapped) return mapped[1] as string
  const [digits = '', link] = address.split('%')
  return `${groupsOf(digits).slice(0, NETWORK_GROUPS).join(':')}::/64${link === undefined ? '' : `%${link}`}`
}

/** Those of a dotted end are not looked at: they are no part of the network. */
function groupsOf(digits: string): string[] {
  const [before = '', behind] = digits.split('::')
  const head = before === '' ? [] : before.split(':')
  if (behind === undefined) return head
  const tail = behind === '' ? [] : behind.split(':')
  const tailGroups = tail.length + (behind.includes('.') ? 1 : 0)
  return [...head, ...new Array<string>(GROUPS - head.length - tailGroups).fill('0'), ...tail]
}
