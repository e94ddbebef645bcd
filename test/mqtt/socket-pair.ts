// Both ends of a TCP connection within a test.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** `ours` is the one that a server has accepted. */
export async function socketPair(t: Test, options: { pauseOnConnect?: boolean } = {}): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer(options)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = once(server, 'connection')
  const theirs = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [ours] = (await accepted) as [Socket]
  server.close()
  t.teardown(() => {
    ours.destroy()
    theirs.destroy()
  })
  return { ours, theirs }
}
