// Files that are right, and perhaps do not do what was meant: the warnings of `wadi config check` and of a start, and the notes of the check alone:
// what is written on purpose and costs something.
// Each row has what was printed before and what is printed now.

import t from 'tap'
import { ID, MQTT, printed, RIGHT, type Row, UPSTREAM } from './printed.ts'

const rows: readonly Row[] = [
  {
    name: 'routes behind one that takes everything',
    written: [MQTT, 'routes:\n  - { filter: "#", topic: a, key: none }\n  - { filter: b/#, topic: b, key: none }\n'],
    before: ['warning: f:4:15 routes[1].filter can never match: routes[0] "#" covers b/# before it'],
    now: ['warning: f:4:15 routes[1].filter can never match: routes[0] "#" covers b/# before it']
  },
  {
    name: 'filters that no device can publish to',
    written: [MQTT, 'routes: [{ filter: $SYS/#, topic: a, key: none }, { filter: $share/g/a, topic: a, key: none }]\n'],
    before: [
      'warning: f:2:20 routes[0].filter can never match: a device cannot publish to $SYS/…, which is for subscribers',
      'warning: f:2:61 routes[1].filter can never match: a device cannot publish to $share/…, which is for subscribers'
    ],
    now: [
      'warning: f:2:20 routes[0].filter can never match: a device cannot publish to $SYS/…, which is for subscribers',
      'warning: f:2:61 routes[1].filter can never match: a device cannot publish to $share/…, which is for subscribers'
    ]
  },
  {
    name: 'a topic that nobody stores in, near one that is',
    written: [MQTT, 'routes: [{ filter: "#", topic: telemetri, key: none }]\ntopics: { telemetry: {} }\n'],
    before: ['warning: f:3:22 topics.telemetry holds nothing: no route stores in it; one stores in "telemetri": did you mean that?'],
    now: ['warning: f:3:22 topics.telemetry holds nothing: no route stores in it; one stores in "telemetri": did you mean that?']
  },
  {
    name: 'the same beside a Kafka listener',
    written: [
      MQTT,
      'routes: [{ filter: "#", topic: telemetri, key: none }]\ntopics: { telemetry: {}, orders: {} }\nkafka: { listen: "127.0.0.1:9092" }\n'
    ],
    before: [],
    now: ['warning: f:3:22 topics.telemetry holds nothing: no route stores in it; one stores in "telemetri": did you mean that?']
  },
  {
    name: 'a constant key',
    written: [MQTT, 'routes: [{ filter: a/+device, topic: a, key: device }]\n'],
    before: [],
    now: [
      'warning: f:2:46 routes[0].key is "device" for every event: all go to one partition, however many there will be; meant "{device}", or none?'
    ]
  },
  {
    name: 'a constant key, of a topic that is said to have one partition',
    written: [MQTT, 'routes: [{ filter: a/+device, topic: a, key: plant }]\ntopics: { a: { partitions: 1 } }\n'],
    before: [
      'warning: f:2:46 routes[0].key is "plant" for every event: all go to one partition, however many there will be; meant "{plant}", or none?'
    ],
    now: []
  },
  {
    name: 'a filter that a comment cuts',
    written: [MQTT, 'routes:\n  - filter: plant/ #\n    topic: a\n    key: none\n  - filter: line/ #rest\n    topic: a\n    key: none\n'],
    before: [],
    now: [
      'warning: f:3:13 routes[0].filter is read as "plant/": a # behind a space begins a comment; for all of it write "plant/#"',
      'warning: f:6:13 routes[1].filter is read as "line/": a # behind a space begins a comment; for all of it write "line/#rest"'
    ]
  },
  {
    name: 'filters with a comment that is meant',
    written: [
      MQTT,
      'routes:\n  - filter: plant/# # everything\n    topic: a # of the plant\n    key: none\n  - filter: "b/" # one level\n    topic: a\n    key: none\n'
    ],
    before: [],
    now: []
  },
  {
    name: 'quotas above the whole',
    written: [
      RIGHT,
      'storage: { quota: 1GiB }\nunmatched: { action: topic, topic: b }\ntopics: { events: { quota: 600MiB }, b: { quota: 600MiB } }\n'
    ],
    before: [],
    now: [
      'warning: f:3:19 storage.quota is 1.0 GiB, and the quotas of 2 topics (1.2 GiB), the dead letters (64.0 MiB) and the journal (64.0 MiB) are 1.3 GiB together: the whole can be full before a topic is'
    ]
  },
  {
    name: 'quotas that fit',
    written: [RIGHT, 'storage: { quota: 1GiB }\ntopics: { events: { quota: 800MiB } }\n'],
    before: [],
    now: []
  },
  {
    name: 'drop_oldest on a delivered topic',
    written: [RIGHT, ID, 'topics: { events: { when_full: drop_oldest, quota: 1GiB } }\n', UPSTREAM],
    before: [
      'warning: f:4:32 topics.events.when_full is drop_oldest without drop_undelivered: true, so nothing undelivered is ever dropped; at its quota the topic refuses, like reject'
    ],
    now: [
      'warning: f:4:32 topics.events.when_full is drop_oldest without drop_undelivered: true, so nothing undelivered is ever dropped; at its quota the topic refuses, like reject'
    ]
  },
  {
    name: 'drop_undelivered and reject',
    written: [RIGHT, ID, 'topics: { events: { drop_undelivered: true, quota: 1GiB } }\n', UPSTREAM],
    before: [],
    now: [
      'note: f:4:39 topics.events.drop_undelivered is true: events that are not delivered are lost when they are older than 7d (docs/retention.md)'
    ]
  },
  {
    name: 'drop_undelivered and drop_oldest',
    written: [
      RIGHT,
      ID,
      'storage: { quota: 4GiB }\ntopics: { events: { drop_undelivered: true, when_full: drop_oldest, quota: 1GiB, retention_bytes: 100MB } }\n',
      UPSTREAM
    ],
    before: [],
    now: [
      'note: f:5:39 topics.events.drop_undelivered is true: events that are not delivered are lost when they are older than 7d, above 100MB per partition, above the quota of 1GiB or at the quota of the whole directory (docs/retention.md)'
    ]
  },
  {
    name: 'drop_undelivered with nothing that drops',
    written: [RIGHT, ID, 'topics: { events: { drop_undelivered: true, retention: forever } }\n', UPSTREAM],
    before: [],
    now: [
      'warning: f:4:39 topics.events.drop_undelivered has no effect: retention is forever, and no quota drops anything (docs/retention.md)'
    ]
  },
  {
    name: 'a key of the payload without decode',
    written: [MQTT, 'routes: [{ filter: a/#, topic: a, key: "{payload.id}" }]\n'],
    before: [],
    now: [
      'warning: f:2:40 routes[0].key names a field, so the payload is read as JSON, and what is none goes to the dead letters: say it with "value: { decode: json }", or cbor'
    ]
  },
  {
    name: 'a header of the payload without decode',
    written: [MQTT, 'routes: [{ filter: a/#, topic: a, key: none, headers: { s: "{payload.s}" } }]\n'],
    before: [],
    now: [
      'warning: f:2:55 routes[0].headers names a field, so the payload is read as JSON, and what is none goes to the dead letters: say it with "value: { decode: json }", or cbor'
    ]
  },
  {
    name: 'a time of the payload without decode',
    written: [MQTT, 'routes: [{ filter: a/#, topic: a, key: none, time: { from: "$.ts" } }]\n'],
    before: [],
    now: [
      'note: f:2:60 routes[0].time.from names a field, so the payload is read as JSON, and what is none gets the time of its arrival; "value: { decode: cbor }" reads CBOR'
    ]
  },
  {
    name: 'the same, strict',
    written: [MQTT, 'routes: [{ filter: a/#, topic: a, key: none, time: { from: "$.ts", else: reject } }]\n'],
    before: [],
    now: [
      'note: f:2:60 routes[0].time.from names a field, so the payload is read as JSON, and what is none goes to the dead letters; "value: { decode: cbor }" reads CBOR'
    ]
  },
  {
    name: 'with decode',
    written: [MQTT, 'routes: [{ filter: a/#, topic: a, key: "{payload.id}", value: { decode: json } }]\n'],
    before: [],
    now: []
  },
  {
    name: 'nothing listens',
    written: [ID],
    before: ['warning: f:1:1 mqtt has no listener: no device can connect'],
    now: ['warning: f:1:1 mqtt has no listener: no device can connect']
  }
]

t.test('what is allowed and does not do what it seems to say is a warning: the file is right', async (t) => {
  for (const { name, written, now } of rows) t.same(printed(...written), now, name)
})
