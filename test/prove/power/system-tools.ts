// The programs of the machine that the rig needs, and mounts made with them. Everything is asynchronous: the process that waits here also
// serves the device, and must not stand still.
//
// How a sync reaches the device: ext4 → loop device (its flush is an fsync of the file below) → FUSE fsync → nbdfuse → NBD flush. One
// O_DSYNC write of the gateway is one flush here; the loop device passes FUA on as write and flush.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { UndoStack } from './undo-stack.ts'

const COMMAND_TIMEOUT_MS = 30_000
const APPEARS_WITHIN_MS = 10_000
const POLL_MS = 20

/** Program → the Debian package that has it. */
const PROGRAMS = { nbdfuse: 'libnbd-bin', losetup: 'mount', 'mkfs.ext4': 'e2fsprogs', mount: 'mount', umount: 'mount' } as const

/** Everything that keeps the rig from running here, in words; empty when it can run. */
export function whatIsMissing(): string[] {
  const missing: string[] = []
  if (process.platform !== 'linux') missing.push('Linux (this is ' + process.platform + ')')
  if (process.getuid?.() !== 0) missing.push('root, to mount: run it with sudo')
  for (const [program, debianPackage] of Object.entries(PROGRAMS)) {
    if (!isOnPath(program)) missing.push(`${program}: apt-get install ${debianPackage}`)
  }
  if (!existsSync('/dev/fuse')) missing.push('/dev/fuse: modprobe fuse, or start the container with --device /dev/fuse')
  if (!existsSync('/dev/loop-control')) missing.push('/dev/loop-control: modprobe loop, or start the container privileged')
  return missing
}

function isOnPath(program: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

const environment = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }

/** @returns what it printed. @throws Error with what it said on stderr */
export function run(command: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS, env: environment }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || error.message}`))
      else resolve(stdout.trim())
    })
  })
}

/** A file in `directory` that is the device behind an NBD socket. In a process group of its own: Ctrl-C must not take it from under a mount. */
export async function attachNbd(undo: UndoStack, socketPath: string, directory: string): Promise<string> {
  await mkdir(directory)
  const child = spawn('nbdfuse', [join(directory, 'disk'), '--unix', socketPath], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: environment
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  undo.push('end nbdfuse', () => endNbdfuse(child, directory))
  const disk = join(directory, 'disk')
  const giveUpMs = performance.now() + APPEARS_WITHIN_MS
  while (!(await stat(disk).catch(() => null))) {
    if (child.exitCode !== null || performance.now() > giveUpMs)
      throw new Error(`nbdfuse does not show the device: ${said.trim() || 'no reason given'}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return disk
}

/** It ends when its mount goes; when it has ended before, the mount is still there. */
async function endNbdfuse(child: ChildProcess, directory: string): Promise<void> {
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  const ended = hasEnded() ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve))
  await run('umount', directory).catch(() => run('umount', '--lazy', directory).catch(() => undefined)) // perhaps it was never mounted
  const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_TIMEOUT_MS)
  if (!hasEnded()) child.kill('SIGTERM')
  await ended
  clearTimeout(timer)
}

/** `file` as a block device. @returns its name and what detaches it */
export async function attachLoop(undo: UndoStack, file: string, isDirect: boolean): Promise<{ device: string; detach(): Promise<void> }> {
  const device = await run('losetup', '--find', '--show', ...(isDirect ? ['--direct-io=on'] : []), file)
  return { device, detach: undo.push(`detach ${device}`, () => run('losetup', '--detach', device)) }
}

export async function makeExt4(device: string): Promise<void> {
  // Nothing lazy: what the kernel would write later is noise. No discard: the device offers none.
  await run('mkfs.ext4', '-q', '-F', '-b', '4096', '-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0', device)
}

/** Mounts; what is mounted after a power cut is repaired by ext4's own journal first. @returns what unmounts it */
export async function mountExt4(undo: UndoStack, device: string, directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true })
  await run('mount', '-t', 'ext4', '-o', 'noatime', device, directory)
  return undo.push(`unmount ${directory}`, () => unmount(directory))
}

/** A process that was just killed may hold files for a moment. */
async function unmount(directory: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run('umount', directory)
      return
    } catch (error) {
      if (attempt === 20) {
        await run('umount', '--lazy', directory)
        throw error
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
