// Proves that a start warns of a process that may open fewer files than its connections and its storage need.

import t from 'tap'
import { loadConfig } from '../../gateway/config/load.ts'
import { lackOfOpenFiles } from '../../gateway/open-files.ts'

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
