// Payload formats that routes can read fields of. The bytes come from devices: anything that is not exactly one value throws.

import { Decoder } from 'cbor-x'
import type { PayloadDecoders } from '../../runtime/broker/routes.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })
const cbor = new Decoder({ mapsAsObjects: true, useRecords: false })

export const payloadDecoders: PayloadDecoders = {
  json: (payload) => JSON.parse(utf8.decode(payload)) as unknown,
  cbor: (payload) => cbor.decode(payload) as unknown
}
