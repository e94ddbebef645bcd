// Who may import whom, for dependency-cruiser. The table is the rule; everything below turns it into dependency-cruiser's words.
// A layer imports itself and the layers named in `may`, the node: modules in `node`, the packages in `npm`. Nothing else, types included.
// Needing more is a reason to think about layering first. test/tools/layers.test.ts proves that each kind of rule bites.

const BASE = ['runtime/base']
const IO = [...BASE, 'runtime/io']
const CORE = [...IO, 'runtime/core']
const LOG = [...CORE, 'runtime/log']
const BROKER = [...LOG, 'runtime/broker']
const UPLINK = [...BROKER, 'runtime/uplink']

const ADAPTERS = ['adapters/tls', 'adapters/control', 'adapters/kafka-server', 'adapters/kafka-upstream', 'adapters/mqtt']

/** Sockets and what comes with them: for adapters only. */
const SOCKETS = ['net', 'tls', 'stream', 'events', 'fs', 'fs/promises', 'http', 'util']

const layers = {
  'core-wasm': { may: [] },
  'runtime/base': { may: [] },
  'runtime/io': { may: BASE, node: ['fs', 'fs/promises', 'zlib', 'crypto', 'util', 'net', 'worker_threads'], npm: ['zstddec'] },
  'runtime/core': { may: IO },
  'runtime/log': { may: CORE },
  'runtime/broker': { may: LOG },
  'runtime/uplink': { may: BROKER },
  'adapters/kafka-protocol': { may: CORE },
  'adapters/tls': { may: BASE, node: [...SOCKETS, 'crypto'] },
  'adapters/kafka-server': { may: [...UPLINK, 'adapters/kafka-protocol', 'adapters/tls'], node: SOCKETS },
  'adapters/kafka-upstream': { may: [...UPLINK, 'adapters/kafka-protocol'], node: SOCKETS },
  'adapters/mqtt': { may: [...UPLINK, 'adapters/tls'], node: [...SOCKETS, 'buffer', 'crypto'], npm: ['cbor-x'] },
  'adapters/control': { may: UPLINK, node: SOCKETS },
  gateway: { may: [...UPLINK, ...ADAPTERS], node: ['fs', 'path', 'url'], npm: ['yaml'] }
}

const escaped = (text) => text.replace(/[/.\-+]/g, '\\$&')
const anyOf = (names) => `(?:${names.map(escaped).join('|')})`
const under = (folders) => `^${anyOf(folders)}/`

function rulesOf(folder, { may, node = [], npm = [] }) {
  const from = { path: under([folder]) }
  return [
    {
      name: `${folder} imports below itself only`,
      severity: 'error',
      from,
      to: { dependencyTypes: ['local'], pathNot: under([folder, ...may]) }
    },
    {
      name: `${folder} and node:${node.join('|') || ' nothing'}`,
      severity: 'error',
      from,
      to: { dependencyTypes: ['core'], ...(node.length > 0 && { pathNot: `^(?:node:)?${anyOf(node)}$` }) }
    },
    {
      name: `${folder} and npm ${npm.join('|') || 'nothing'}`,
      severity: 'error',
      from,
      to: { path: '(^|/)node_modules/', ...(npm.length > 0 && { pathNot: `node_modules/${anyOf(npm)}/` }) }
    }
  ]
}

module.exports = {
  forbidden: [
    ...Object.entries(layers).flatMap(([folder, allowed]) => rulesOf(folder, allowed)),
    { name: 'no circular imports', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'only the lock talks to node:net inside runtime',
      severity: 'error',
      from: { path: '^runtime/', pathNot: '^runtime/io/node-lock\\.ts$' },
      to: { dependencyTypes: ['core'], path: '^(?:node:)?net$' }
    },
    {
      name: 'every folder of runtime and adapters is a layer of the table',
      severity: 'error',
      from: { path: '^(runtime|adapters)/', pathNot: under(Object.keys(layers)) },
      to: {}
    },
    {
      name: 'what ships does not import test or bench',
      severity: 'error',
      from: { path: '^(core-wasm|runtime|adapters|gateway|bin)/' },
      to: { path: '^(test|bench|tools)/' }
    },
    {
      name: 'what ships does not import development packages',
      severity: 'error',
      from: { path: '^(runtime|adapters|gateway|bin)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] }
    },
    {
      name: 'every import exists',
      severity: 'error',
      from: { path: '^(runtime|adapters|gateway|bin|test|bench)/' },
      to: { couldNotResolve: true }
    }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|dist-[^/]*|core-wasm/build)/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.cjs']
    }
  }
}
