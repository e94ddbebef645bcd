// Proves that a gateway whose clients have taken the last file descriptor says so, and takes clients again when there are some: whom it has no descriptor for is closed
// below Node, which is not told.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { connect as connectClient, publish, startGateway, temporary } from './wadi-process.ts'

const FILES_MAX = 400

t.test('the last descriptor is taken by clients', { timeout: 60_000 }, async (t) => {
  const running = await startGateway(t, await temporary(t), {}, { filesMax: FILES_MAX })
  t.match(running.process.stderr, new RegExp(`may open ${FILES_MAX} files`))
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  let closed = 0
  for (let count = 0; count < FILES_MAX; count++) {
    const socket = connect(running.port, '127.0.0.1')
    socket.on('error', () => undefined).on('close', () => closed++)
    await once(socket, 'connect')
    sockets.push(socket)
  }
  const line = await running.process.until(({ stderr }) => /"message":"(this process has no file descriptor left[^"]*)/.exec(stderr)?.[1])
  t.match(line, /\(EMFILE\): .*Raise the limit/)
  t.ok(closed > 0, `${closed} were closed`)
  for (const socket of sockets) socket.destroy()
  await publish(await connectClient(t, running.port), 3)
})
