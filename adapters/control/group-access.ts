// Who besides its owner may open the control socket: one group. It gets the socket (0660) and may pass through the data directory, which it cannot
// list, and whose files stay the owner's (0600).
// Invariant: nothing is opened for anybody else: the group is set before its rights are, and a directory that another group uses is left to it.

import { chmod, chown, stat } from 'node:fs/promises'
import { groupName, userName } from './accounts.ts'

const PASS = { group: 0o010, others: 0o001 }
const GROUP_RIGHTS = 0o070
const SOCKET_MODE = 0o660

/** Null when members of the group can connect from now on; else why not, as the end of a sentence: then nothing was opened. */
export async function letGroupIn(directory: string, socketPath: string, groupId: number): Promise<string | null> {
  const refusal = await whyNoGroup(directory, groupId)
  if (refusal !== null) return refusal
  try {
    const { mode, gid } = await stat(directory)
    if ((mode & PASS.others) === 0 && (gid !== groupId || (mode & PASS.group) === 0)) {
      if (gid !== groupId) await chown(directory, -1, groupId)
      await chmod(directory, (mode & 0o7777) | PASS.group)
    }
    await chown(socketPath, -1, groupId)
    await chmod(socketPath, SOCKET_MODE)
    return null
  } catch (error) {
    return `${(error as Error).message}`
  }
}

/** Why letGroupIn() would not, as far as can be seen without trying. The directory may be one that is made later. */
export async function whyNoGroup(directory: string, groupId: number): Promise<string | null> {
  const user = process.geteuid?.() ?? 0
  const isMember = process.getegid?.() === groupId || process.getgroups?.().includes(groupId) === true
  if (user !== 0 && !isMember) {
    const name = groupName(groupId)
    return `the user ${userName(user)} may not give anything to the group ${name}, of which it is no member ("sudo usermod -aG ${name} ${userName(user)}", then start it again)`
  }
  const found = await stat(directory).catch(() => null)
  if (!found) return null
  const { mode, gid, uid } = found
  if ((mode & PASS.others) !== 0 || (gid === groupId && (mode & PASS.group) !== 0)) return null
  if (gid !== groupId && (mode & GROUP_RIGHTS) !== 0) {
    const rights = (mode & 0o777).toString(8)
    return `its members cannot pass ${directory}: it belongs to the group ${groupName(gid)}, which has rights of its own on it (mode ${rights}); "chmod o+x" or "chgrp ${groupName(groupId)}" on it lets them`
  }
  if (user !== 0 && uid !== user) return `its members cannot pass ${directory}, which belongs to the user ${userName(uid)}`
  return null
}
