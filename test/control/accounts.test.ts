// Proves for adapters/control/accounts.ts: names and numbers of users and groups, with and without a line for them.

import t from 'tap'
import { groupIdOf, groupName, groupNames, parseAccounts, userName } from '../../adapters/control/accounts.ts'

t.test('lines of /etc/group and /etc/passwd', async (t) => {
  const text = '# local\nroot:x:0:\nops:x:1001:anna,ben\n+nis::\nbroken\n:x:5:\nanna:x:1000:1000:Anna:/home/anna:/bin/sh\n'
  t.same(parseAccounts(text), [
    { name: 'root', id: 0 },
    { name: 'ops', id: 1001 },
    { name: 'anna', id: 1000 }
  ])
})

t.test('of this machine: by name, by number, and who has no line', { skip: process.platform === 'win32' }, async (t) => {
  const [first = ''] = groupNames()
  t.equal(groupName(groupIdOf(first) ?? -1), first)
  t.equal(groupIdOf('4242421'), 4_242_421, 'a number needs no name')
  t.equal(groupIdOf('no-such-group'), null)
  t.equal(groupIdOf('4294967295'), null, 'that is -1: "do not change"')
  t.equal(groupIdOf('-1'), null)
  t.equal(groupName(4_242_421), '4242421')
  t.equal(userName(0), 'root')
  t.equal(userName(4_242_421), '4242421')
})
