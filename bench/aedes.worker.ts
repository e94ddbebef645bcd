// aedes alone, in memory, as it comes: what durable ingest is compared with. Says { port } when it listens.

import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { tell } from './worker.ts'

const broker = await Aedes.createBroker()
const server = createServer(broker.handle)
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  tell({ port: typeof address === 'object' && address ? address.port : 0 })
})
process.on('disconnect', () => process.exit(0))
