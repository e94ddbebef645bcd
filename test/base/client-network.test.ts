// Proves whom the limit of connections per address counts as one: an IPv4 address, also where IPv6 carries it, and a /64 of IPv6.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { Listener } from '../../adapters/mqtt/listener.ts'
import { clientNetworkOf } from '../../runtime/base/client-network.ts'

t.test('an IPv4 address counts alone', async (t) => {
  t.equal(clientNetworkOf('192.0.2.7'), '192.0.2.7')
  t.equal(clientNetworkOf('::ffff:192.0.2.7'), '192.0.2.7', 'as a socket of both families says it')
  t.equal(clientNetworkOf(''), '', 'of a peer that was gone before it was accepted')
})

t.test('all addresses of a /64 of IPv6 count as one', async (t) => {
  const same = (network: string, ...addresses: string[]): void => {
    for (const address of addresses) t.equal(clientNetworkOf(address), network, address)
  }
  same('2001:db8:1:2::/64', '2001:db8:1:2::1', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2:0:5::')
  same('2001:db8:0:0::/64', '2001:db8::1', '2001:db8::', '2001:db8::5:0:0:1', '2001:db8:0:0:1::')
  same('2001:db8:0:1::/64', '2001:db8:0:1::1', '2001:db8:0:1:1:1:1:1')
  same('0:0:0:0::/64', '::1', '::', '::192.0.2.7', '::a:b:c:d')
  same('64:ff9b:0:0::/64', '64:ff9b::192.0.2.7', '64:ff9b::c000:207')
  same('fe80:0:0:0::/64%eth0', 'fe80::1%eth0', 'fe80::a:b:c:d%eth0')
  same('fe80:0:0:0::/64%eth1', 'fe80::1%eth1')
})

const hasIpv6 = await new Promise<boolean>((resolve) => {
  const probe = createServer().once('error', () => resolve(false))
  probe.listen({ host: '::', port: 0 }, () => probe.close(() => resolve(true)))
})

t.test('clients of IPv4 are counted one by one on a listener of both families', { skip: hasIpv6 ? false : 'no IPv6 here' }, async (t) => {
  const listener = new Listener({ host: '::', port: 0, limits: { connectionsPerAddressMax: 1 } })
  await listener.bind()
  const refused: [string, string][] = []
  listener.open({ onConnection: () => {}, onRefused: (address, why) => refused.push([address, why]) })
  t.teardown(() => {
    listener.stopAccepting()
    for (const socket of listener.sockets) socket.destroy()
  })
  const from = async (localAddress: string, host = '127.0.0.1'): Promise<void> => {
    const socket = connect({ host, port: listener.address?.port ?? 0, localAddress })
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    await once(socket, 'connect')
  }
  await from('127.0.0.1')
  await from('127.0.0.2')
  await from('::1', '::1')
  await from('127.0.0.2')
  await from('::1', '::1')
  while (refused.length < 2) await new Promise((resolve) => setImmediate(resolve))
  t.equal(listener.sockets.size, 3)
  t.match(refused, [
    ['::ffff:127.0.0.2', 'more than 1 from one address (limits.connections_per_address)'],
    ['::1', 'more than 1 from one /64 of IPv6 (limits.connections_per_address)']
  ])
})
