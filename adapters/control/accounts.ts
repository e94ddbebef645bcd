// Users and groups of this machine by name, as its files have them: /etc/passwd and /etc/group, in the first line that fits.
// Invariant: never throws; who is not there is named by the number (a container runs as a user that no file knows).
// Limit: Node has no getgrnam, so accounts from elsewhere (LDAP, systemd-homed) have no name here; their numbers work.

import { readFileSync } from 'node:fs'

export interface Account {
  readonly name: string
  readonly id: number
}

const ID_MAX = 2 ** 32 - 2

/** "wheel:x:10:anna,ben": name, password, number, whatever follows. Lines that are none are passed over. */
export function parseAccounts(text: string): Account[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , number = ''] = line.split(':')
    return name !== '' && !name.startsWith('#') && /^\d{1,10}$/.test(number) ? [{ name, id: Number(number) }] : []
  })
}

function readAccounts(path: string): Account[] {
  try {
    return parseAccounts(readFileSync(path, 'utf8'))
  } catch {
    return [] // a container without the file
  }
}

export function groupNames(): string[] {
  return readAccounts('/etc/group').map(({ name }) => name)
}

/** Of a name or a number, which need not have a name. null = there is no such group here. */
export function groupIdOf(nameOrId: string): number | null {
  const known = readAccounts('/etc/group').find(({ name }) => name === nameOrId)
  if (known) return known.id
  return /^\d{1,10}$/.test(nameOrId) && Number(nameOrId) <= ID_MAX ? Number(nameOrId) : null
}

export function groupName(id: number): string {
  return readAccounts('/etc/group').find((group) => group.id === id)?.name ?? String(id)
}

/** What to do for who is not allowed to, without the full stop. `id`: of the user who is; undefined when it cannot be seen. */
export function runAsWords(id: number | undefined): string {
  if (id === undefined) return 'Run it as the user that runs the gateway ("sudo -u USER wadi …")'
  const name = userName(id)
  return `Run it as the user ${name} ("sudo -u ${name === String(id) ? `'#${id}'` : name} wadi …")`
}

export function userName(id: number): string {
  return readAccounts('/etc/passwd').find((user) => user.id === id)?.name ?? String(id)
}
