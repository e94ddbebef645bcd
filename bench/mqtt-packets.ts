// MQTT packets of the load generators, written by hand: the process under test must be the one that is busy. Not for: anything but short fields.

export interface ConnectOptions {
  /** 4 = 3.1.1. */
  readonly version?: 4 | 5
  /** False: the session stays when the connection ends, an hour at least. */
  readonly isClean?: boolean
  readonly keepAliveSeconds?: number
}

const EXPIRY_SECONDS = 3_600

export function connectPacket(clientId: string, { version = 4, isClean = true, keepAliveSeconds = 0 }: ConnectOptions = {}): Buffer {
  const id = Buffer.from(clientId)
  const expiry = isClean ? [0] : [5, 17, 0, 0, EXPIRY_SECONDS >> 8, EXPIRY_SECONDS & 0xff]
  const head = [0, 4, 0x4d, 0x51, 0x54, 0x54, version, isClean ? 2 : 0, keepAliveSeconds >> 8, keepAliveSeconds & 0xff]
  return packet(0x10, Buffer.concat([Buffer.from([...head, ...(version === 5 ? expiry : []), 0, id.length]), id]))
}

export function publishPacket(topic: string, { packetId, qos = 1, payload }: { packetId: number; qos?: number; payload: Buffer }): Buffer {
  const name = Buffer.from(topic)
  const id = Buffer.from(qos === 0 ? [] : [packetId >> 8, packetId & 0xff])
  return packet(0x30 | (qos << 1), Buffer.concat([Buffer.from([0, name.length]), name, id, payload]))
}

export function subscribePacket(filter: string, { version = 4, qos }: { version?: 4 | 5; qos: number }): Buffer {
  const name = Buffer.from(filter)
  return packet(0x82, Buffer.concat([Buffer.from([0, 1, ...(version === 5 ? [0] : []), 0, name.length]), name, Buffer.from([qos])]))
}

export const DISCONNECT = Buffer.from([0xe0, 0])

function packet(firstByte: number, body: Buffer): Buffer {
  const { length } = body
  return Buffer.concat([Buffer.from(length < 128 ? [firstByte, length] : [firstByte, (length & 0x7f) | 0x80, length >> 7]), body])
}

/** First bytes of the packets in `chunks`, one after the other, whatever the chunks: what a client needs that only counts and acknowledges. */
export class PacketCounter {
  readonly #onPacket: (bytes: Buffer, firstByteAt: number, bodyAt: number) => void
  #rest: Buffer | null = null

  /** @param onPacket gets each whole packet: the buffer that it is in, where it begins, and where what follows its length begins */
  constructor(onPacket: (bytes: Buffer, firstByteAt: number, bodyAt: number) => void) {
    this.#onPacket = onPacket
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      let bodyAt = at + 1
      let length = 0
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[bodyAt++]
        if (byte === undefined) break
        length |= (byte & 0x7f) << shift
        if (byte < 0x80) break
      }
      if (bodyAt + length > bytes.length) break
      this.#onPacket(bytes, at, bodyAt)
      at = bodyAt + length
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : null
  }
}
