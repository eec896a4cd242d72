// The frame: who is signed in, where to go, and the page that the path names.
import { html, render, useEffect, useState } from './vendor/preact.js'
import { onSessionOver, api } from './lib/api.js'
import { Session, chooseProject, go, readSession, useLocation, useSession } from './lib/session.js'
import { Dialog, Fault, Guard, Icon, IconButton, Loading, Toasts } from './lib/ui.js'
import { Callback, SignIn, Welcome } from './pages/sign-in.js'
import { Models } from './pages/models.js'

/** Pages that not every visit needs are read when they are opened. */
const lazy = (read) => function Lazy(props) {
  const [Page, set] = useState(null)
  const [error, fail] = useState(null)
  useEffect(() => { read().then((page) => set(() => page), fail) }, [])
  if (error) return html`<${Fault} error=${error} />`
  return Page ? html`<${Page} ...${props} />` : html`<${Loading} />`
}
const pages = {
  models: Models,
  model: lazy(() => import('./pages/model.js').then((m) => m.Model)),
  playground: lazy(() => import('./playground/playground.js').then((m) => m.Playground)),
  keys: lazy(() => import('./pages/keys.js').then((m) => m.Keys)),
  team: lazy(() => import('./pages/team.js').then((m) => m.Team)),
  artifacts: lazy(() => import('./pages/artifacts.js').then((m) => m.Artifacts)),
  usage: lazy(() => import('./pages/usage.js').then((m) => m.Usage)),
  billing: lazy(() => import('./pages/billing.js').then((m) => m.Billing)),
  operations: lazy(() => import('./pages/operations.js').then((m) => m.Operations)),
  docs: lazy(() => import('./pages/docs.js').then((m) => m.Docs)),
  account: lazy(() => import('./pages/account.js').then((m) => m.Account)),
}

const links = [
  ['models', 'Models', 'models', 'm'], ['playground', 'Playground', 'play', 'p'], ['keys', 'API keys', 'keys', 'k'], ['artifacts', 'LoRA artifacts', 'sliders', 'l'],
  ['usage', 'Usage', 'usage', 'u'], ['billing', 'Billing', 'billing', 'b'], ['team', 'Team', 'team', 't'],
  ['operations', 'Operations', 'ops', 'o'], ['docs', 'Docs', 'docs', 'd'],
]
const hrefOf = (name) => (name === 'docs' ? '/docs' : `/console/${name}`)

function currentPage(path) {
  if (path === '/docs' || path.startsWith('/docs/')) return ['docs', path.slice(6)]
  const rest = path.replace(/^\/console\/?/, '')
  if (rest === '') return ['models', '']
  const [name, ...more] = rest.split('/')
  if (name === 'models' && more.length) return ['model', decodeURIComponent(more.join('/'))]
  return [name, more.join('/')]
}

function ThemeButton() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const [theme, set] = useState(document.documentElement.dataset.theme || (dark ? 'dark' : 'light'))
  const turn = () => {
    const next = theme === 'dark' ? 'light' : 'dark'
    document.documentElement.dataset.theme = next
    localStorage.setItem('theme', next)
    set(next)
    dispatchEvent(new Event('themechange'))
  }
  return html`<${IconButton} name="sun" size="18" label=${`Use the ${theme === 'dark' ? 'light' : 'dark'} theme`} onClick=${turn} />`
}

function Shortcuts({ onClose }) {
  const rows = [['?', 'Show this'], ['/', 'Search, or write a message'], ...links.map(([, label, , key]) => [`g ${key}`, label]), ['Enter', 'Send a message (Shift+Enter: a new line)'], ['Esc', 'Stop the answer; close a dialog']]
  return html`<${Dialog} title="Keyboard" onClose=${onClose}><dl class="shortcuts">${rows.map(([key, what]) => html`<dt>${key.split(' ').map((k) => html`<kbd>${k}</kbd> `)}</dt><dd>${what}</dd>`)}</dl><//>`
}

function useShortcuts(show) {
  useEffect(() => {
    let lastG = 0
    const listener = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.('input,textarea,select,dialog,[contenteditable]')) return
      if (event.key === '?') { event.preventDefault(); show() }
      if (event.key === '/') {
        const field = document.querySelector('[data-main-input]')
        if (field) { event.preventDefault(); field.focus() }
      }
      const link = Date.now() - lastG < 1200 && links.find(([, , , key]) => key === event.key)
      lastG = event.key === 'g' ? Date.now() : 0
      if (link) { event.preventDefault(); go(hrefOf(link[0])) }
    }
    addEventListener('keydown', listener)
    return () => removeEventListener('keydown', listener)
  }, [])
}

function Nav({ page, onChoose, open, close, onShortcuts }) {
  const session = useSession()
  const out = async () => { await api('/api/v1/session', { method: 'DELETE' }); location.href = '/console/' }
  const seen = links.filter(([name]) => name !== 'operations' || session.operator)
  return html`<nav class=${`side ${open ? 'open' : ''}`} aria-label="Console">
    <a class="brand" href="/console/"><img src=${new URL('./icon.svg', import.meta.url).href} width="26" height="26" alt="" /> Tokenmill</a>
    <label class="offscreen" for="project">Project that pays</label>
    <select id="project" class="project" value=${session.project} onChange=${(event) => onChoose(event.target.value)}>
      ${session.projects.map((path) => html`<option value=${path}>${path}</option>`)}
    </select>
    <ul>${seen.map(([name, label, icon]) => html`<li><a href=${hrefOf(name)} aria-current=${page === name || (page === 'model' && name === 'models') ? 'page' : null} onClick=${close}><${Icon} name=${icon} /> ${label}</a></li>`)}</ul>
    <div class="side-foot">
      <a href="/console/account" onClick=${close} title="Your account">${session.person}</a>
      <button type="button" class="icon-button" aria-label="Keyboard shortcuts" title="Keyboard shortcuts" onClick=${onShortcuts}>?</button>
      <${ThemeButton} /><${IconButton} name="out" size="18" label="Sign out" onClick=${out} />
    </div>
  </nav>`
}

function App() {
  const [session, set] = useState(undefined)
  const [error, fail] = useState(null)
  const [open, setOpen] = useState(false)
  const [shortcuts, setShortcuts] = useState(false)
  const { path } = useLocation()
  const load = () => readSession().then(set, fail)
  useEffect(() => { load(); onSessionOver(load) }, [])
  useShortcuts(() => setShortcuts(true))
  if (path === '/console/welcome') return html`<${Welcome} onDone=${() => { go('/console/', { replace: true }); load() }} />`
  if (path.startsWith('/console/callback/')) return html`<${Callback} provider=${decodeURIComponent(path.slice(18))} onDone=${(next) => { set(undefined); go(next, { replace: true }); load() }} />`
  if (error) return html`<main class="alone"><${Fault} error=${error} /></main>`
  if (session === undefined) return html`<main class="alone"><${Loading} /></main>`
  if (!session.person) return html`<${SignIn} onDone=${load} providers=${session.providers} />`
  const [name, rest] = currentPage(path)
  const Page = pages[name]
  return html`<${Session.Provider} value=${session}>
    <a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.getElementById('content').focus() }}>Skip to the content</a>
    <header class="top"><${IconButton} name="menu" size="20" label="Menu" aria-expanded=${open} onClick=${() => setOpen(!open)} /><a class="brand" href="/console/">Tokenmill</a><span class="top-project">${session.project}</span></header>
    ${open && html`<div class="veil" onClick=${() => setOpen(false)}></div>`}
    <${Nav} page=${name} open=${open} close=${() => setOpen(false)} onShortcuts=${() => setShortcuts(true)} onChoose=${(project) => set(chooseProject(session, project))} />
    <main id="content" tabindex="-1" class=${name === 'playground' ? 'full' : ''}><${Guard} key=${name}>${Page ? html`<${Page} key=${name === 'docs' ? name : session.project} rest=${rest} reloadSession=${load} />` : html`<div class="page"><h1>There is no such page</h1><p><a href="/console/">To the models</a></p></div>`}<//></main>
    ${shortcuts && html`<${Shortcuts} onClose=${() => setShortcuts(false)} />`}
    <${Toasts} />
  <//>`
}

render(html`<${App} />`, document.getElementById('app'))
