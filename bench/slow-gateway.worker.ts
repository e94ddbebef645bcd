// A whole gateway whose disk takes so long for each durable write, in this process. Says { port }.
// Arguments: directory, ms of a sync.

import { loadConfig } from '../gateway/config/load.ts'
import { openEdges } from '../gateway/edges.ts'
import { openGateway } from '../gateway/gateway.ts'
import { slowDisk } from './slow-disk.ts'
import { tell } from './worker.ts'

const [directory = '', syncMs = '0'] = process.argv.slice(2)
const yaml = `
gateway: { id: bench, data: ${JSON.stringify(`${directory}/data`)} }
mqtt: [{ listen: "127.0.0.1:0" }]
topics: { readings: { partitions: 4 } }
routes: [{ filter: "bench/+client/#rest", topic: readings, key: "{client}" }]`
const gateway = await openGateway(loadConfig(yaml, { fileName: 'bench', environment: {} }), {
  edges: { ...openEdges(), disk: slowDisk(Number(syncMs)) }
})
tell({ port: Number(gateway.addresses.mqtt[0]?.split(':')[1]) })
process.on('disconnect', () => process.exit(0))
