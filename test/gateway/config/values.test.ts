// Values as people write them who come from other tools, and what they are told.
// Each row has what was printed before and what is printed now.

import t from 'tap'
import { ID, MQTT, printed, RIGHT, ROUTES, type Row } from './printed.ts'

const rows: readonly Row[] = [
  {
    name: 'a bare #',
    written: [MQTT, 'routes:\n  - filter: #\n    topic: a\n    key: none\n'],
    before: ['f:3:13 routes[0].filter is empty: give a value or remove the key'],
    now: ['f:3:13 routes[0].filter is empty: a bare # begins a comment in YAML; write "#"']
  },
  {
    name: 'a bare # with a name',
    written: [MQTT, 'routes:\n  - filter: #rest\n    topic: a\n    key: none\n'],
    before: ['f:3:13 routes[0].filter is empty: give a value or remove the key'],
    now: ['f:3:13 routes[0].filter is empty: a bare # begins a comment in YAML; write "#rest"']
  },
  {
    name: 'a comment instead of a value',
    written: [MQTT, 'routes:\n  - filter: # all\n    topic: a\n    key: none\n'],
    before: ['f:3:13 routes[0].filter is empty: give a value or remove the key'],
    now: ['f:3:13 routes[0].filter is empty: give a value or remove the key (# begins a comment; one that is meant stands in quotes)']
  },
  {
    name: 'a name in braces without quotes',
    written: [MQTT, 'routes:\n  - filter: a/+device\n    topic: a\n    key: {device}\n'],
    before: ['f:5:10 routes[0].key is a section, expected one value'],
    now: ['f:5:10 routes[0].key is a section, expected one value: a value with braces stands in quotes: "{device}"']
  },
  {
    name: 'the same in a header',
    written: [MQTT, 'routes:\n  - { filter: a/+device, topic: a, key: none, headers: { d: {device} } }\n'],
    before: ['f:3:61 routes[0].headers.d is a section, expected one value'],
    now: ['f:3:61 routes[0].headers.d is a section, expected one value: a value with braces stands in quotes: "{device}"']
  },
  {
    name: 'a home directory',
    written: [RIGHT, 'gateway: { data: ~/wadi }\n'],
    before: [],
    now: [`f:3:18 gateway.data is "~/wadi", expected a path: only a shell knows ~, write \${HOME}/… or the whole path`]
  },
  {
    name: 'an octal number',
    written: [RIGHT, 'topics: { events: { partitions: 0755 } }\n'],
    before: [],
    now: ['warning: f:3:33 topics.events.partitions is read as 755: a 0 in front does not make it octal']
  },
  {
    name: 'units of other tools',
    written: [RIGHT, 'topics: { events: { retention: 7days, quota: 64Mb, retention_bytes: 512Mi } }\n'],
    before: [
      'f:3:32 topics.events.retention has the unit "days", known are ms, s, m, min, h, d, w',
      'f:3:46 topics.events.quota has the unit "Mb", known are B, kB, KB, MB, GB, TB, KiB, MiB, GiB, TiB',
      'f:3:69 topics.events.retention_bytes has the unit "Mi", known are B, kB, KB, MB, GB, TB, KiB, MiB, GiB, TiB'
    ],
    now: [
      'f:3:32 topics.events.retention has the unit "days": did you mean 7d?',
      'f:3:46 topics.events.quota has the unit "Mb": did you mean 64MB?',
      'f:3:69 topics.events.retention_bytes has the unit "Mi": did you mean 512MiB?'
    ]
  },
  {
    name: 'a unit that nothing is near to',
    written: [RIGHT, 'topics: { events: { retention: 1month } }\n'],
    before: ['f:3:32 topics.events.retention has the unit "month", known are ms, s, m, min, h, d, w'],
    now: ['f:3:32 topics.events.retention has the unit "month", known are ms, s, m, min, h, d, w']
  },
  {
    name: 'a broker without a port',
    written: [RIGHT, ID, 'upstream: { brokers: [k1.example] }\n'],
    before: ['f:4:23 upstream.brokers[0] is "k1.example", expected host:port, for example 127.0.0.1:1883'],
    now: ['f:4:23 upstream.brokers[0] is "k1.example", expected host:port, for example k1.example:9092']
  },
  {
    name: 'a broker as an address of a browser',
    written: [RIGHT, ID, 'upstream: { brokers: ["kafka://k1:9092"] }\n'],
    before: ['f:4:23 upstream.brokers[0] is "kafka://k1:9092", expected host:port, for example 127.0.0.1:1883'],
    now: ['f:4:23 upstream.brokers[0] is "kafka://k1:9092", expected host:port, for example k1:9092']
  },
  {
    name: 'brokers with commas',
    written: [RIGHT, ID, 'upstream: { brokers: "k1:9092, k2:9092" }\n'],
    before: ['f:4:22 upstream.brokers is not a list: begin each entry with "- "'],
    now: []
  },
  {
    name: 'brokers with commas, one of them wrong',
    written: [RIGHT, ID, 'upstream: { brokers: "k1:9092,k2.example" }\n'],
    before: ['f:4:22 upstream.brokers is not a list: begin each entry with "- "'],
    now: ['f:4:22 upstream.brokers[1] is "k2.example", expected host:port, for example k2.example:9092']
  },
  {
    name: 'a port alone',
    written: ['mqtt: [{ listen: 1884 }]\n', ROUTES],
    before: ['f:1:18 mqtt[0].listen is "1884", expected host:port, for example 127.0.0.1:1883'],
    now: ['f:1:18 mqtt[0].listen is "1884", expected host:port, for example 127.0.0.1:1884']
  },
  {
    name: 'what other versions will have',
    written: [
      'mqtt: [{ listen: "127.0.0.1:1883", auth: { cert: a } }]\n',
      ROUTES,
      ID,
      'upstream: { brokers: ["k1:9092"], sasl: {}, tls: {} }\nhttp: {}\n'
    ],
    before: [
      'f:1:36 mqtt[0].auth is not a known key (known here: listen, insecure, limits)',
      'f:4:35 upstream.sasl is not a known key (known here: brokers, topics, create_topics, compression, transaction_bytes, linger)',
      'f:4:45 upstream.tls is not a known key (known here: brokers, topics, create_topics, compression, transaction_bytes, linger)',
      'f:5:1 http is not a known key (known here: gateway, storage, mqtt, kafka, topics, routes, unmatched, dead_letter, upstream)'
    ],
    now: [
      'f:1:36 mqtt[0].auth is not in this version of Wadi',
      'f:4:35 upstream.sasl is not in this version of Wadi',
      'f:4:45 upstream.tls is not in this version of Wadi',
      'f:5:1 http is not in this version of Wadi'
    ]
  },
  {
    name: 'what other versions will have, misspelt',
    written: [RIGHT, ID, 'upstream: { brokers: ["k1:9092"], tsl: {} }\n'],
    before: ['f:4:35 upstream.tsl is not a known key (known here: brokers, topics, create_topics, compression, transaction_bytes, linger)'],
    now: ['f:4:35 upstream.tsl is not a known key (did you mean "tls"?)']
  }
]

t.test('one value that is not what was meant: what to write instead', async (t) => {
  for (const { name, written, now } of rows) t.same(printed(...written), now, name)
})
