// What models write, as they meant it, and never as they could misuse it: Markdown becomes HTML through an allow list of
// tags, under Trusted Types. Pictures from elsewhere are shown as links: loading one would tell its host of the reader.
import { html, Component } from '../vendor/preact.js'
import { Marked } from '../vendor/markdown.js'
import purify from '../vendor/purify.js'
import hljs from '../vendor/highlight.js'
import { copyText } from './ui.js'

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)

export function highlight(code, language) {
  return language && hljs.getLanguage(language) && code.length < 50_000 ? hljs.highlight(code, { language }).value : escape(code)
}

const marked = new Marked({
  gfm: true,
  renderer: {
    code({ text, lang }) {
      const language = (lang || '').match(/^[\w+-]+/)?.[0] ?? ''
      return `<pre data-language="${escape(language)}"><code>${highlight(text, language)}</code></pre>`
    },
    image({ href, text }) { return `<a href="${escape(href)}">${escape(text || href)}</a>` },
    // Tags that somebody wrote into the text are text.
    html({ text }) { return escape(text) },
  },
})

const allowed = {
  ALLOWED_TAGS: ['a', 'b', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'i', 'li', 'ol', 'p', 'pre', 'span', 'strong', 'sub', 'sup', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul'],
  ALLOWED_ATTR: ['href', 'class', 'start', 'align', 'data-language', 'target', 'rel'],
  ALLOW_DATA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|\/|#|\.|[\w-]+\.md)/i,
  RETURN_TRUSTED_TYPE: true,
}
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A' && /^https?:/i.test(node.getAttribute('href') || '')) {
    node.setAttribute('target', '_blank')
    node.setAttribute('rel', 'noopener noreferrer')
  }
  if (node.className && !/^hljs-[\w -]+$/.test(node.className)) node.removeAttribute('class')
})
const clean = (dirty) => purify.sanitize(dirty, allowed)

/** HTML that has been made clean; drawn anew only when it changes. */
class Clean extends Component {
  shouldComponentUpdate(next) { return next.source !== this.props.source }
  componentDidMount() { this.draw() }
  componentDidUpdate() { this.draw() }
  draw() {
    this.element.innerHTML = clean(this.props.make(this.props.source))
    for (const pre of this.element.querySelectorAll('pre')) {
      const bar = document.createElement('div')
      bar.className = 'code-bar'
      const name = document.createElement('span')
      name.textContent = pre.dataset.language || ''
      const button = document.createElement('button')
      Object.assign(button, { type: 'button', textContent: 'Copy' })
      button.addEventListener('click', async () => {
        await copyText(pre.querySelector('code').textContent)
        button.textContent = 'Copied'
        setTimeout(() => { button.textContent = 'Copy' }, 1500)
      })
      bar.append(name, button)
      pre.before(bar)
      pre.tabIndex = 0
    }
    for (const heading of this.element.querySelectorAll('h1,h2,h3,h4')) heading.id ||= heading.textContent.toLowerCase().replace(/[^\w]+/g, '-').replace(/^-|-$/g, '')
  }
  render() { return html`<div class="prose" ref=${(element) => { this.element = element }}></div>` }
}

/** Where a growing text can be cut: at empty lines outside code. Only the last piece is read again while it grows. */
export function blocks(text) {
  const found = []
  let start = 0, isCode = false, at = 0
  while (at < text.length) {
    let end = text.indexOf('\n', at)
    if (end < 0) end = text.length
    const line = text.slice(at, end)
    if (/^\s{0,3}(```|~~~)/.test(line)) isCode = !isCode
    if (!isCode && line.trim() === '' && text.slice(start, at).trim()) { found.push(text.slice(start, at)); start = end + 1 }
    at = end + 1
  }
  if (start < text.length) found.push(text.slice(start))
  return found
}

const toHtml = (text) => marked.parse(text)
const MAX_LIVE = 4_000

export function Markdown({ text, done = true }) {
  if (done) return html`<${Clean} source=${text} make=${toHtml} />`
  const parts = blocks(text)
  // A long piece that is still growing stays plain until it ends.
  return parts.map((part, i) => (i === parts.length - 1 && part.length > MAX_LIVE
    ? html`<pre class="plain" key=${i}>${part}</pre>`
    : html`<${Clean} key=${i} source=${part} make=${toHtml} />`))
}

export const Code = ({ text, language }) => html`<${Clean} key=${language} source=${text} make=${(code) => `<pre data-language="${escape(language)}"><code>${highlight(code, language)}</code></pre>`} />`
