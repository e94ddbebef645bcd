// Proves that a start warns of a process that may open fewer files than its connections and its storage need, and that it is said once a minute when there is no
// descriptor left. That a process with too few says so: test/bin/few-files.test.ts.

import t from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import { lackOfOpenFiles, openFilesLook } from '../../gateway/open-files.ts'

const limits = (count: string): string => `Limit                     Soft Limit           Hard Limit           Units
Max processes             127225               127225               processes
Max open files            ${count}                 1048576              files
`

t.test('connections of all listeners, and what storage needs', (t) => {
  const yaml = `
gateway: { id: a, data: /nowhere }
mqtt: [{ listen: "127.0.0.1:0", limits: { connections: 1000 } }, { listen: "127.0.0.1:1", limits: { connections: 500 } }]
routes: [{ filter: "#", topic: events, key: none }]`
  const config = loadConfig(yaml, { fileName: 'wadi.yaml', environment: {} })
  t.match(lackOfOpenFiles(config, limits('1024')), /may open 1024 files; 1500 connections .* 1756/)
  t.equal(lackOfOpenFiles(config, limits('1756')), null)
  t.equal(lackOfOpenFiles(config, limits('unlimited')), null)
  t.equal(lackOfOpenFiles(config, null), null, 'a system that does not tell')
  const withKafka = loadConfig(`${yaml}\nkafka: { listen: "127.0.0.1:9092" }`, { fileName: 'wadi.yaml', environment: {} })
  t.match(lackOfOpenFiles(withKafka, limits('1756')), /1750 connections/)
  t.end()
})

t.test('none left: once a minute, with what to do; another fault of the device is not its business', (t) => {
  let nowMs = 0
  let code: string | null = null
  const lines: string[] = []
  const look = openFilesLook((level, words) => void lines.push(`${level} ${words}`), {
    nowMs: () => nowMs,
    tryFile: () => {
      if (code !== null) throw Object.assign(new Error(code), { code })
    }
  })
  const lookFor = (seconds: number): void => {
    for (const endMs = nowMs + seconds * 1_000; nowMs < endMs; nowMs += 5_000) look()
  }
  lookFor(60)
  code = 'EACCES'
  lookFor(60)
  t.same(lines, [])
  code = 'EMFILE'
  lookFor(120)
  t.equal(lines.length, 2)
  t.match(
    lines[0],
    /^warn this process has no file descriptor left \(EMFILE\): clients that connect .* Raise the limit \(LimitNOFILE, ulimit -n\)/
  )
  code = 'ENFILE'
  lookFor(60)
  t.match(lines[2], /^warn the machine has no file descriptor left \(ENFILE\)/)
  t.end()
})
