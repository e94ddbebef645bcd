// A disk that reads the real one and keeps every change in memory: what a start would do to a directory can be seen without doing it.
// Invariant: calls nothing on the real disk but open for reading, list, stat and read. Not for: speed, concurrency, large writes.

import { type Disk, DiskError, type DiskFile } from '../io/disk.ts'

/** What a file has become: real bytes below `realBytes`, changed pieces over them. */
interface DryContent {
  readonly realPath: string | null
  realBytes: number
  sizeBytes: number
  readonly pieces: { readonly at: number; readonly bytes: Uint8Array }[]
}

export class DryDisk implements Disk {
  readonly #real: Disk
  /** Files that were opened for writing, renamed or removed (null). */
  readonly #changed = new Map<string, DryContent | null>()
  readonly #directories = new Set<string>()
  readonly #open = new Set<DiskFile>()

  constructor(real: Disk) {
    this.#real = real
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    const sizeBytes = await this.fileSizeBytes(path)
    if (sizeBytes === null && mode !== 'create') throw new DiskError('ENOENT', { operation: 'open', path })
    let content = this.#changed.get(path)
    if (!content) {
      const realPath = content === null || sizeBytes === null ? null : path
      content = { realPath, realBytes: sizeBytes ?? 0, sizeBytes: sizeBytes ?? 0, pieces: [] }
      if (mode !== 'read') this.#changed.set(path, content)
    }
    const real = content.realPath === null ? null : await this.#openReal(content.realPath, mode)
    if (real) this.#open.add(real)
    return new DryFile(path, content, real, () => this.#close(real))
  }

  /** A refusal is one of what was asked for: whoever writes does not try again what nobody may read. */
  async #openReal(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    try {
      return await this.#real.open(path, 'read')
    } catch (error) {
      if (mode === 'read' || !(error instanceof DiskError)) throw error
      throw new DiskError(error.code, { operation: 'open', path, cause: error })
    }
  }

  async #close(real: DiskFile | null): Promise<void> {
    if (!real || !this.#open.delete(real)) return
    await real.close()
  }

  /** Whatever is still open on the real disk. */
  async closeAll(): Promise<void> {
    for (const file of [...this.#open]) await this.#close(file)
  }

  async list(path: string): Promise<string[]> {
    const names = new Set(await this.#realNames(path))
    for (const [changed, content] of this.#changed) {
      const slashAt = changed.lastIndexOf('/')
      if (changed.slice(0, slashAt) !== path) continue
      if (content) names.add(changed.slice(slashAt + 1))
      else names.delete(changed.slice(slashAt + 1))
    }
    return [...names].sort()
  }

  async #realNames(path: string): Promise<string[]> {
    try {
      return await this.#real.list(path)
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT' && this.#directories.has(path)) return []
      throw error
    }
  }

  async makeDirectory(path: string): Promise<void> {
    this.#directories.add(path)
  }

  async rename(from: string, to: string): Promise<void> {
    await (await this.open(from, 'write')).close()
    this.#changed.set(to, this.#changed.get(from) as DryContent)
    this.#changed.set(from, null)
  }

  async remove(path: string): Promise<void> {
    this.#changed.set(path, null)
  }

  async removeDirectory(path: string): Promise<void> {
    this.#directories.delete(path)
  }

  async syncDirectory(): Promise<void> {}

  async fileSizeBytes(path: string): Promise<number | null> {
    const content = this.#changed.get(path)
    return content === undefined ? this.#real.fileSizeBytes(path) : (content?.sizeBytes ?? null)
  }

  async freeBytes(): Promise<number> {
    return Number.MAX_SAFE_INTEGER
  }

  async lock(): Promise<{ release(): Promise<void> }> {
    return { release: async () => undefined }
  }
}

class DryFile implements DiskFile {
  readonly path: string
  readonly #content: DryContent
  readonly #real: DiskFile | null
  readonly close: () => Promise<void>

  constructor(path: string, content: DryContent, real: DiskFile | null, close: () => Promise<void>) {
    this.path = path
    this.#content = content
    this.#real = real
    this.close = close
  }

  async readAt(positionBytes: number, into: Uint8Array): Promise<number> {
    const { realBytes, sizeBytes, pieces } = this.#content
    const wanted = into.subarray(0, Math.max(0, Math.min(into.byteLength, sizeBytes - positionBytes)))
    wanted.fill(0)
    const end = positionBytes + wanted.byteLength
    const isReplaced = pieces.some(({ at, bytes }) => at <= positionBytes && at + bytes.byteLength >= end)
    const fromReal = wanted.subarray(0, Math.max(0, realBytes - positionBytes))
    if (this.#real && fromReal.byteLength > 0 && !isReplaced) await this.#real.readAt(positionBytes, fromReal)
    for (const { at, bytes } of pieces) {
      const from = Math.max(at, positionBytes)
      const until = Math.min(at + bytes.byteLength, end)
      if (until > from) wanted.set(bytes.subarray(from - at, until - at), from - positionBytes)
    }
    return wanted.byteLength
  }

  async writeAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    this.#content.pieces.push({ at: positionBytes, bytes: bytes.slice() })
    this.#content.sizeBytes = Math.max(this.#content.sizeBytes, positionBytes + bytes.byteLength)
  }

  writeDurableAt(positionBytes: number, bytes: Uint8Array): Promise<void> {
    return this.writeAt(positionBytes, bytes)
  }

  async sync(): Promise<void> {}

  async truncate(sizeBytes: number): Promise<void> {
    const content = this.#content
    content.realBytes = Math.min(content.realBytes, sizeBytes)
    content.sizeBytes = sizeBytes
    const kept = content.pieces.flatMap(({ at, bytes }) => (at < sizeBytes ? [{ at, bytes: bytes.subarray(0, sizeBytes - at) }] : []))
    content.pieces.splice(0, content.pieces.length, ...kept)
  }

  async sizeBytes(): Promise<number> {
    return this.#content.sizeBytes
  }
}
