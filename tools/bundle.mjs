// dist/wadi.mjs: the whole command line and gateway in one file, the WASM core inside it, nothing to install beside it.
// dist/demo.mjs: the MQTT client that only `wadi demo` needs, loaded from beside it.
// dist/gateway.mjs: the same gateway as a library (gateway/index.ts); its packages are installed with it by npm.
// Run by `npm run build:bundle`. Options: --out FILE, --core FILE (the .wasm), --check (start it once and compare its version).
// The licence notices of what is bundled stand at the end of each file, as their licences ask.

import { execFileSync } from 'node:child_process'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build, transform } from 'esbuild'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'dist/wadi.mjs') },
    core: { type: 'string', default: join(root, 'core-wasm/build/release.wasm') },
    check: { type: 'boolean', default: false }
  }
})

/** gateway/core-bytes.ts reads the core from the build directory; in the bundle the bytes are already here. */
const coreInside = {
  name: 'core-inside',
  setup(context) {
    context.onLoad({ filter: /gateway[\\/]core-bytes\.ts$/ }, () => ({
      contents: `import bytes from ${JSON.stringify(values.core)}\nexport const coreBytes = () => bytes\n`,
      resolveDir: root,
      loader: 'js'
    }))
  }
}

/** Parsers trace every packet through `debug`, a twentieth of the gateway's time with the traces off. What ships has none. */
const noTraces = {
  name: 'no-traces',
  setup(context) {
    context.onResolve({ filter: /^debug$/ }, () => ({ path: 'debug', namespace: 'no-traces' }))
    context.onLoad({ filter: /.*/, namespace: 'no-traces' }, () => ({
      contents: `const trace = () => {}\ntrace.enabled = false\ntrace.extend = () => trace\nmodule.exports = () => trace\n`,
      loader: 'js'
    }))
  }
}

/** Payloads are only decoded, and the native part of the package cannot be loaded from a bundle: its decoder alone. */
const onlyDecoder = {
  name: 'only-decoder',
  setup(context) {
    context.onResolve({ filter: /^cbor-x$/ }, () => ({ path: join(root, 'node_modules/cbor-x/decode.js') }))
  }
}

/** Names inside packages are shortened: a stack trace of ours is read, one of theirs seldom. */
const shortNamesInPackages = {
  name: 'short-names-in-packages',
  setup(context) {
    context.onLoad({ filter: /[\\/]node_modules[\\/].*\.[cm]?js$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, 'utf8'), {
        minify: true,
        target: 'node20',
        legalComments: 'none',
        sourcefile: path
      })
      return { contents: code, loader: 'js' }
    })
  }
}

const demoFile = join(dirname(values.out), 'demo.mjs')

/** bin/demo/client.ts is a file of its own. */
const demoBeside = {
  name: 'demo-beside',
  setup(context) {
    context.onResolve({ filter: /^\.\/client\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './demo.mjs', external: true } : undefined
    )
  }
}

/** Packages written for CommonJS ask for Node's own modules by require. */
const banner = `import { createRequire as wadiCreateRequire } from 'node:module';
const require = wadiCreateRequire(import.meta.url);`

/** For files that ship whole. */
const whole = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  mainFields: ['module', 'main'],
  loader: { '.wasm': 'binary' },
  external: ['kafkajs'], // the demo's independent consumer: a development dependency, looked for and not needed
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  legalComments: 'none', // the whole licences follow instead
  metafile: true,
  logLevel: 'warning'
}
const program = await build({
  ...whole,
  entryPoints: ['bin/wadi.ts'],
  outfile: values.out,
  banner: { js: `#!/usr/bin/env node\n${banner}` },
  plugins: [coreInside, noTraces, onlyDecoder, demoBeside, shortNamesInPackages]
})
const demo = await build({
  ...whole,
  entryPoints: ['bin/demo/client.ts'],
  outfile: demoFile,
  banner: { js: banner },
  plugins: [noTraces, shortNamesInPackages]
})

if (values.out === join(root, 'dist/wadi.mjs')) {
  await build({
    absWorkingDir: root,
    entryPoints: ['gateway/index.ts'],
    outfile: join(root, 'dist/gateway.mjs'),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    loader: { '.wasm': 'binary' },
    minifySyntax: true,
    plugins: [coreInside],
    logLevel: 'warning'
  })
}

await addNotices(values.out, program)
await addNotices(demoFile, demo)
await chmod(values.out, 0o755)

if (values.check) {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const printed = execFileSync(process.execPath, [values.out, 'version'], { encoding: 'utf8', timeout: 20_000 }).trim()
  if (!printed.includes(version)) throw new Error(`the bundle says "${printed}", package.json ${version}`)
}
for (const file of [values.out, demoFile]) {
  const kibibytes = Math.round((await readFile(file)).byteLength / 1024)
  console.log(`${relative(process.cwd(), file)}  ${kibibytes} KiB`)
}

async function addNotices(file, { metafile }) {
  const notices = await licenceNotices(Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs)))
  const code = await readFile(file, 'utf8')
  await writeFile(file, `${code.trimEnd()}\n/*\n${notices.replaceAll('*/', '* /')}\n*/\n`)
}

/** Name, version and licence text of every package that a bundled file comes from. */
async function licenceNotices(inputs) {
  const packages = new Set(inputs.map((input) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean))
  const parts = ['Wadi contains the following packages, under their own licences.']
  for (const directory of [...packages].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, directory, 'package.json'), 'utf8'))
    const files = (await readdir(join(root, directory))).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort()
    const texts = await Promise.all(files.map((file) => readFile(join(root, directory, file), 'utf8')))
    parts.push(`---- ${name} ${version} (${license ?? 'see text'})\n${texts.map((text) => text.trim()).join('\n\n')}`)
  }
  return parts.join('\n\n')
}
