// A real disk whose durable writes can be held back, and refused. Not for: faults of other operations (test/sim/disk-faults.ts).

import { type Disk, DiskError, type DiskFile } from '../../runtime/io/disk.ts'
import { nodeDisk } from '../../runtime/io/node-disk.ts'

export class JournalFaults {
  /** Of the next durable writes. */
  #refusals = 0
  #held: (() => void)[] | null = null
  writeCount = 0
  /** Each durable write takes at least so long. */
  delayMs = 0

  readonly disk: Disk = new Proxy(nodeDisk, {
    get: (disk, name) => {
      const value = Reflect.get(disk, name)
      if (name !== 'open') return typeof value === 'function' ? value.bind(disk) : value
      return async (...args: Parameters<Disk['open']>) => this.#wrap(await disk.open(...args))
    }
  })

  /** The next durable write finds the disk full. */
  refuseNext(): void {
    this.#refusals++
  }

  /** Durable writes wait from now on. */
  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const go of held) go()
  }

  #wrap(file: DiskFile): DiskFile {
    return new Proxy(file, {
      get: (target, name) => {
        const value = Reflect.get(target, name)
        if (name !== 'writeDurableAt') return typeof value === 'function' ? value.bind(target) : value
        return (positionBytes: number, bytes: Uint8Array) => this.#write(target, positionBytes, bytes)
      }
    })
  }

  async #write(file: DiskFile, positionBytes: number, bytes: Uint8Array): Promise<void> {
    this.writeCount++
    const isRefused = this.#refusals > 0
    if (isRefused) this.#refusals--
    const held = this.#held
    if (held) await new Promise<void>((resolve) => held.push(resolve))
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs))
    if (isRefused) throw new DiskError('ENOSPC', { operation: 'write', path: file.path })
    return file.writeDurableAt(positionBytes, bytes)
  }
}
