// Writes console/vendor: each library as one ES module that stands alone, and all licences. Run it after a change of
// package.json (`npm ci && node vendor.mjs`); with --check it only tells whether what is there is what it would write.
import { build } from 'esbuild'
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const out = join(here, '../../console/vendor')
const languages = ['bash', 'css', 'diff', 'go', 'java', 'javascript', 'json', 'markdown', 'python', 'rust', 'sql', 'typescript', 'xml', 'yaml']

const modules = {
  'preact.js': `
    import { h, render, Component, createContext, Fragment } from 'preact'
    import htm from 'htm'
    export * from 'preact/hooks'
    export { h, render, Component, createContext, Fragment }
    export const html = htm.bind(h)`,
  'markdown.js': `export { Marked, Lexer } from 'marked'`,
  'purify.js': `export { default } from 'dompurify'`,
  'highlight.js': `import hljs from 'highlight.js/lib/core'
    ${languages.map((name, i) => `import l${i} from 'highlight.js/lib/languages/${name}'`).join('\n')}
    ${languages.map((name, i) => `hljs.registerLanguage('${name}', l${i})`).join('\n')}
    export default hljs`,
  'uplot.js': `export { default } from 'uplot'`,
}
const packages = ['preact', 'htm', 'marked', 'dompurify', 'highlight.js', 'uplot']
const files = {}
for (const [name, contents] of Object.entries(modules)) {
  const built = await build({
    stdin: { contents, resolveDir: here }, bundle: true, format: 'esm', minify: true, target: 'es2022',
    legalComments: 'none', write: false,
  })
  files[name] = `// Made by tools/console-vendor; licences in LICENSES.txt.\n${built.outputFiles[0].text}`
}
files['uplot.css'] = readFileSync(join(here, 'node_modules/uplot/dist/uPlot.min.css'), 'utf8')
files['LICENSES.txt'] = packages.map((name) => {
  const folder = join(here, 'node_modules', name)
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = ['LICENSE', 'LICENSE.md', 'license'].map((f) => join(folder, f)).find(existsSync)
  const text = file ? readFileSync(file, 'utf8').trim() : ''
  return `${name} ${version} (${license})\n\n${text}\n`
}).join(`\n${'-'.repeat(80)}\n\n`)

if (process.argv.includes('--check')) {
  const changed = Object.keys(files).filter((name) => !existsSync(join(out, name)) || readFileSync(join(out, name), 'utf8') !== files[name])
  if (changed.length) { console.error(`console/vendor is not what tools/console-vendor writes: ${changed.join(', ')}`); process.exit(1) }
} else {
  mkdirSync(out, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(out, name), text)
}
