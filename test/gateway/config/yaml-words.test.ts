// What is no YAML, or other YAML than was meant: a person who never read its manual is told what to write, and where it began.
// Each row has what was printed before and what is printed now.

import t from 'tap'
import { ID, MQTT, printed, RIGHT, ROUTES, type Row } from './printed.ts'

const rows: readonly Row[] = [
  {
    name: 'a tab instead of spaces',
    written: ['gateway:\n\tid: a\n', RIGHT],
    before: [
      'f:2:1 is not YAML: tabs are not allowed as indentation',
      'f:2:2 id is not a known key (known here: gateway, storage, mqtt, kafka, topics, routes, unmatched, dead_letter, upstream)'
    ],
    now: ['f:2:1 is not YAML: a tab stands in front: YAML is indented with spaces only']
  },
  {
    name: 'a key in the wrong column',
    written: ['gateway:\n  id: a\n data: b\n', RIGHT],
    before: [
      'f:3:1 is not YAML: all mapping items must start at the same column',
      'f:3:2 data is not a known key (known here: gateway, storage, mqtt, kafka, topics, routes, unmatched, dead_letter, upstream)'
    ],
    now: [
      'f:3:1 is not YAML: this line does not begin in the column of those it belongs to: the keys of one section, and of one entry of a list, begin in one column'
    ]
  },
  {
    name: 'a key of an entry in the wrong column',
    written: ['mqtt:\n  - listen: 127.0.0.1:1883\n   insecure: true\n', ROUTES],
    before: [
      'f:3:1 is not YAML: sequence item without - indicator',
      'f:3:4 mqtt[1].listen is missing: host:port of the MQTT listener; port 0 takes a free one'
    ],
    now: [
      'f:3:1 is not YAML: this line does not begin in the column of those it belongs to: the keys of one section, and of one entry of a list, begin in one column'
    ]
  },
  {
    name: 'two documents',
    written: [RIGHT, '---\n', RIGHT],
    before: ['f:3:1 is not YAML: source contains multiple documents; please use YAML.parseAllDocuments()'],
    now: ['f:3:1 is not YAML: a second document begins here ("---"): one file is one configuration']
  },
  {
    name: 'a brace that is not closed',
    written: [RIGHT, 'gateway: { id: a\n'],
    before: ['f:4:1 is not YAML: flow map in block collection must be sufficiently indented and end with a }'],
    now: ['f:3:10 is not YAML: this { is never closed: a } is missing before the end of the file']
  },
  {
    name: 'a brace that is not closed, in front of other keys',
    written: ['gateway: { id: a\nmqtt:\n  - listen: 127.0.0.1:1883\n', ROUTES],
    before: ['f:2:1 is not YAML: flow map in block collection must be sufficiently indented and end with a }'],
    now: ['f:1:10 is not YAML: this { is never closed: a } is missing before line 2']
  },
  {
    name: 'a list that is not closed',
    written: [RIGHT, 'upstream:\n  brokers: [k1:9092\nstorage:\n  quota: 1GiB\n'],
    before: ['f:5:1 is not YAML: flow sequence in block collection must be sufficiently indented and end with a ]'],
    now: ['f:4:12 is not YAML: this [ is never closed: a ] is missing before line 5']
  },
  {
    name: 'a quote that is not closed',
    written: [MQTT, 'routes:\n  - filter: "plant/#\n    topic: a\n    key: none\n'],
    before: [
      'f:3:5 routes[0].topic is missing: topic that takes the events; may use {names} of the filter',
      'f:6:1 is not YAML: missing closing "quote'
    ],
    now: ['f:3:13 is not YAML: this " is never closed']
  },
  {
    name: 'a bare # inside braces',
    written: [MQTT, 'routes:\n  - { filter: #, topic: a, key: none }\n'],
    before: [
      'f:3:5 routes[0].topic is missing: topic that takes the events; may use {names} of the filter',
      'f:3:15 routes[0].filter is empty: give a value or remove the key',
      'f:4:1 is not YAML: flow map in block collection must be sufficiently indented and end with a }'
    ],
    now: [
      'f:3:5 is not YAML: this { is never closed: a } is missing before the end of the file; a # behind a space begins a comment: one that is meant stands in quotes'
    ]
  },
  {
    name: 'a brace too many',
    written: [RIGHT, 'gateway: { id: a }}\n'],
    before: ['f:3:19 is not YAML: unexpected flow-map-end token in YAML stream: "}"'],
    now: ['f:3:19 is not YAML: nothing opens this }']
  },
  {
    name: 'a comma that is missing',
    written: [RIGHT, 'gateway: { id: a data: b }\n'],
    before: [
      'f:3:16 is not YAML: block collections are not allowed within flow collections',
      'f:3:16 gateway.id is a section, expected one value'
    ],
    now: ['f:3:16 is not YAML: a comma is missing between two entries of { } or [ ]']
  },
  {
    name: 'a key with nothing behind the colon but the value',
    written: ['mqtt:\n  - listen:127.0.0.1:1883\n    insecure: true\n', ROUTES],
    before: [
      'f:2:5 is not YAML: implicit keys need to be on a single line',
      'f:2:5 mqtt[0].listen:127.0.0.1:1883 insecure is not a known key (known here: listen, insecure, limits)',
      'f:2:5 mqtt[0].listen is missing: host:port of the MQTT listener; port 0 takes a free one'
    ],
    now: ['f:2:5 is not YAML: this line has no "key: value"; behind the colon there must be a space']
  },
  {
    name: 'the same, alone',
    written: [RIGHT, 'gateway:\n  id:a\n'],
    before: ['f:4:3 gateway is not a section: expected "key: value" lines below it'],
    now: ['f:4:3 gateway is not a section: expected "key: value" lines below it; behind the colon there must be a space: "id: a"']
  },
  {
    name: 'a line without a colon',
    written: [RIGHT, 'gateway:\n  id: "a"\n  data\n'],
    before: [
      'f:5:3 is not YAML: implicit map keys need to be followed by map values',
      'f:5:3 gateway.data is empty: give a value or remove the key'
    ],
    now: ['f:5:3 is not YAML: this line has no "key: value"; behind the colon there must be a space']
  },
  {
    name: 'a comma that is missing behind a text in quotes',
    written: [MQTT, 'routes: [{ filter: "#" topic: a, key: none }]\n'],
    before: [
      'f:2:10 routes[0].topic is missing: topic that takes the events; may use {names} of the filter',
      'f:2:20 is not YAML: block collections are not allowed within flow collections',
      'f:2:20 routes[0].filter is a section, expected one value',
      'f:2:24 is not YAML: unexpected scalar token'
    ],
    now: ['f:2:20 is not YAML: a comma is missing between two entries of { } or [ ]']
  },
  {
    name: 'text behind a list',
    written: [RIGHT, ID, 'upstream:\n  brokers: [k1:9092] k2:9092\n'],
    before: ['f:5:22 is not YAML: unexpected scalar at node end'],
    now: ['f:5:22 is not YAML: something stands behind a value that has ended: put the whole value into quotes']
  },
  {
    name: 'a colon in the value',
    written: [RIGHT, 'gateway:\n  data: a: b\n'],
    before: [
      'f:4:9 is not YAML: nested mappings are not allowed in compact mappings',
      'f:4:9 gateway.data is a section, expected one value'
    ],
    now: ['f:4:9 is not YAML: two "key: value" stand in one line: a value with ": " in it needs quotes']
  },
  {
    name: 'a value that begins with a mark of YAML',
    written: [RIGHT, 'gateway:\n  id: @a\n'],
    before: [
      'f:4:7 is not YAML: plain value cannot start with reserved character @',
      'f:4:7 gateway.id is "@a", expected letters, digits, ".", "_" and "-", at most 100'
    ],
    now: ['f:4:7 is not YAML: a value cannot begin with @: put it into quotes']
  },
  {
    name: 'a star',
    written: [MQTT, 'routes:\n  - filter: *\n'],
    before: [
      'f:3:5 routes[0].topic is missing: topic that takes the events; may use {names} of the filter',
      'f:3:13 is not YAML: alias cannot be an empty string',
      'f:3:13 routes[0].filter is a list, expected one value'
    ],
    now: ['f:3:13 is not YAML: a value cannot begin with *: put it into quotes']
  },
  {
    name: 'a backslash',
    written: [RIGHT, 'gateway: { data: "C:\\Wadi" }\n'],
    before: ['f:3:21 is not YAML: invalid escape sequence \\W'],
    now: ['f:3:21 is not YAML: \\W means nothing inside "…": write \'…\', where a backslash is a backslash']
  },
  {
    name: 'a value that goes on behind its quote',
    written: [MQTT, 'routes:\n  - { filter: a/+b, topic: a, key: "{b}"/x }\n'],
    before: ['f:3:41 is not YAML: unexpected scalar at node end'],
    now: ['f:3:41 is not YAML: the value goes on behind its closing quote: put all of it into one pair of quotes']
  },
  {
    name: 'two braces without quotes',
    written: [MQTT, 'routes:\n  - filter: a/+site/+device\n    topic: a\n    key: {site}/{device}\n'],
    before: ['f:5:10 routes[0].key is a section, expected one value', 'f:5:16 is not YAML: unexpected scalar at node end'],
    now: ['f:5:10 is not YAML: a value with braces stands in quotes: "{site}/{device}"']
  },
  {
    name: 'a merge',
    written: [RIGHT, 'topics:\n  a: &a { partitions: 3 }\n  events:\n    <<: *a\n    retention: 1d\n'],
    before: [
      'f:6:5 topics.events.<< is not a known key (known here: partitions, retention, retention_bytes, quota, when_full, codec, drop_undelivered, config)'
    ],
    now: ['f:6:5 topics.events.<< is a merge, which is not taken here: write the keys out, or give the whole section by its alias']
  },
  {
    name: 'an alias of nothing',
    written: [RIGHT, 'topics: { events: *nope }\n'],
    before: ['f:3:19 topics.events is not a section: expected "key: value" lines below it'],
    now: ['f:3:19 topics.events is *nope, and no &nope stands before it']
  },
  {
    name: 'a tag',
    written: [RIGHT, 'gateway: { id: !secret a }\n'],
    before: ['f:3:16 is not YAML: unresolved tag: !secret'],
    now: [`f:3:16 has the tag !secret, and there are none here: a variable of the environment is \${NAME}`]
  },
  {
    name: 'a key twice',
    written: [RIGHT, ID, 'gateway: { id: b }\ngateway: { id: c }\n'],
    before: ['f:4:1 this key is given twice: keep one of them'],
    now: [
      'f:4:1 gateway is given twice, here and in line 3: keep one of them',
      'f:5:1 gateway is given twice, here and in line 3: keep one of them'
    ]
  },
  {
    name: 'a key twice inside braces',
    written: [RIGHT, 'gateway: { id: a, id: b }\n'],
    before: ['f:3:19 this key is given twice: keep one of them'],
    now: ['f:3:19 id is given twice, here and in line 3: keep one of them']
  },
  {
    name: 'a binary file',
    written: ['\x7fELF\x02\x01\x01\0\0\ufffd\ufffd\x03'],
    before: ['f:1:1 is not a section: expected "key: value" lines below it'],
    now: ['f:1:8 has a zero byte: this is not a text file']
  },
  {
    name: 'UTF-16',
    written: ['\ufffd\ufffdm\0q\0t\0t\0'],
    before: ['f:1:1 is not a section: expected "key: value" lines below it'],
    now: ['f:1:1 looks like UTF-16: save the file as UTF-8']
  },
  {
    name: 'Latin-1',
    written: [MQTT, 'routes: [{ filter: "ger\ufffdt/#", topic: events, key: none }]\n'],
    before: [],
    now: ['warning: f:2:24 has bytes that are not UTF-8 (no filter with them ever matches): save the file as UTF-8']
  },
  {
    name: 'nothing',
    written: [],
    before: ['f is empty: a gateway needs at least mqtt and routes ("wadi config reference" prints all)'],
    now: ['f is empty: a gateway needs at least mqtt and routes ("wadi config reference" prints all)']
  }
]

t.test('what YAML makes of a slip, in words for people: one problem, where it began', async (t) => {
  for (const { name, written, now } of rows) t.same(printed(...written), now, name)
})
