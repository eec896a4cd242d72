import { html, useEffect } from '../vendor/preact.js'
import { useRead } from '../lib/session.js'
import { Markdown } from '../lib/markdown.js'
import { Fault, Loading } from '../lib/ui.js'

const read = async (name) => {
  const response = await fetch(new URL(`../docs/${name}`, import.meta.url))
  if (!response.ok) throw new Error('There is no such page in the guide')
  return response.text()
}

/** The guide: the same Markdown files as in the repository. Links between them become links between pages. */
export function Docs({ rest }) {
  const name = rest || 'README.md'
  const { data, error } = useRead(() => read(name), [name])
  const folder = name.includes('/') ? name.slice(0, name.lastIndexOf('/') + 1) : ''
  // A folder's page is its README.
  const text = data?.replace(/\]\((?!https?:|#|\/)([\w./-]+\/)\)/g, ']($1README.md)').replace(/<!--[\s\S]*?-->/g, '').replace(/\]\((?!https?:|#|\/)([\w./-]+\.(?:md|toml))(#[^)]*)?\)/g, (_, file, hash = '') => `](${new URL(folder + file, 'http://x/docs/').pathname}${hash})`)
  useEffect(() => { document.title = `${/^# (.*)/m.exec(data ?? '')?.[1] ?? 'Docs'} · Tokenmill` }, [data])
  if (error) return html`<div class="page"><${Fault} error=${error} /><p><a href="/docs">To the guide</a></p></div>`
  return html`<div class="page docs">${name !== 'README.md' && html`<p><a href="/docs">All of the guide</a></p>`}${data === undefined ? html`<${Loading} />` : name.endsWith('.toml') ? html`<pre tabindex="0">${data}</pre>` : html`<${Markdown} key=${name} text=${text} />`}</div>`
}
