// Loaded before the gateway (node --import): the packet id of a QoS 2 event does not travel in the commit of the event. After a power cut a
// repeat is taken for a new event; the rig that cuts the power must notice.

import { Qos2Memory } from '../../../adapters/mqtt/qos2-memory.ts'

const begin = Qos2Memory.prototype.begin
Qos2Memory.prototype.begin = function (client, publish) {
  const result = begin.call(this, client, publish)
  return result.kind === 'new' ? { ...result, state: [] } : result
}
