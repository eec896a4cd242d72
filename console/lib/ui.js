// The console's own small parts: buttons, dialogs, fields, tables, notes.
import { html, Component, useEffect, useRef, useState } from '../vendor/preact.js'

const paths = {
  models: 'M4 7l8-4 8 4-8 4-8-4zM4 12l8 4 8-4M4 17l8 4 8-4', play: 'M5 5h14v10H9l-4 4z', keys: 'M14 10a4 4 0 1 0-3.5 3.97L12 15.5V18h2.5v2.5H18V17l-4.2-4.2A4 4 0 0 0 14 10z',
  usage: 'M4 20V10M10 20V4M16 20v-8M22 20H2', billing: 'M3 6h18v12H3zM3 10h18', team: 'M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-4 3-6 7-6s7 2 7 6M16 4a4 4 0 0 1 0 7M18 15c2.5.5 4 2.500 4 6',
  ops: 'M2 12h4l3-8 6 16 3-8h4', docs: 'M5 3h11l3 3v15H5zM9 9h6M9 13h6M9 17h4', plus: 'M12 5v14M5 12h14', x: 'M6 6l12 12M18 6L6 18', copy: 'M9 9h11v11H9zM5 15H4V4h11v1', check: 'M5 13l4 4L19 7',
  edit: 'M4 20h4L19 9l-4-4L4 16z', retry: 'M20 11a8 8 0 1 0-2.300 5.700M20 4v7h-7', trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13', up: 'M12 19V5M6 11l6-6 6 6', down: 'M12 5v14M6 13l6 6 6-6', stop: 'M7 7h10v10H7z',
  send: 'M4 12l16-8-6 16-3-7z', sliders: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4', menu: 'M4 6h16M4 12h16M4 18h16', sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500L19 19M5 19l1.500-1.500M17.500 6.500L19 5',
  code: 'M8 7l-5 5 5 5M16 7l5 5-5 5', share: 'M12 15V3M7 8l5-5 5 5M5 13v7h14v-7', save: 'M5 3h12l2 2v16H5zM8 3v6h8V3M8 21v-7h8v7', history: 'M4 12a8 8 0 1 0 2.500-5.800M4 4v5h5M12 8v4l3 2', search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21', out: 'M10 4H4v16h6M15 8l4 4-4 4M19 12H9', columns: 'M4 4h16v16H4zM12 4v16', key: 'M12 3l8 4v5c0 5-3.500 8-8 9-4.500-1-8-4-8-9V7z', download: 'M12 3v12M7 11l5 5 5-5M4 20h16',
}
export const Icon = ({ name, size = 18 }) => html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false"><path d=${paths[name]} /></svg>`

export const Button = ({ kind = '', icon, children, ...rest }) => html`<button type="button" class=${`button ${kind}`} ...${rest}>${icon && html`<${Icon} name=${icon} size="16" />`}${children && html`<span>${children}</span>`}</button>`
export const IconButton = ({ name, label, size = 16, ...rest }) => html`<button type="button" class="icon-button" aria-label=${label} title=${label} ...${rest}><${Icon} name=${name} size=${size} /></button>`

let fieldCount = 0
/** A label over a control; `children` is a function of the control's id. */
export function Field({ label, hint, error, children, inline }) {
  const [id] = useState(() => `field-${++fieldCount}`)
  return html`<div class=${`field ${inline ? 'inline' : ''}`}>
    <label for=${id}>${label}</label>${children(id)}
    ${hint && html`<p class="hint">${hint}</p>`}${error && html`<p class="field-error" role="alert">${error}</p>`}
  </div>`
}

/** A native dialog: the browser keeps focus inside, and Escape closes it. */
export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef()
  useEffect(() => {
    const dialog = ref.current
    if (!dialog.open) dialog.showModal()
  }, [])
  return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-label=${title} onClose=${onClose}
    onClick=${(event) => event.target === ref.current && ref.current.close()}>
    <div class="dialog-body"><header><h2>${title}</h2><${IconButton} name="x" label="Close" onClick=${() => ref.current.close()} /></header>${children}</div>
  </dialog>`
}

/** Asks before something that cannot be undone. */
export function Confirm({ title, text, action, onClose, onYes }) {
  const [error, setError] = useState(null)
  const [busy, setBusy] = useState(false)
  const yes = async () => {
    setBusy(true)
    try { await onYes(); onClose() } catch (fault) { setError(fault.message); setBusy(false) }
  }
  return html`<${Dialog} title=${title} onClose=${onClose}><p>${text}</p>${error && html`<${Fault} error=${{ message: error }} />`}
    <footer><${Button} onClick=${onClose}>Cancel<//><${Button} kind="danger" disabled=${busy} onClick=${yes}>${action}<//></footer><//>`
}

export const Fault = ({ error }) => error && html`<p class="note bad" role="alert">${error.message}</p>`
export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p><div>${children}</div></div>`
export const Loading = () => html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span> Loading…</p>`
export const Badge = ({ tone = '', children }) => html`<span class=${`badge ${tone}`}>${children}</span>`

/** A form in a dialog: sends, shows what is wrong, closes. */
export function FormDialog({ title, action, onClose, onSubmit, children, wide }) {
  const [error, setError] = useState(null)
  const [busy, setBusy] = useState(false)
  const submit = async (event) => {
    event.preventDefault()
    setBusy(true); setError(null)
    try { if ((await onSubmit()) !== false) onClose() } catch (fault) { setError(fault) }
    setBusy(false)
  }
  return html`<${Dialog} title=${title} onClose=${onClose} wide=${wide}><form onSubmit=${submit}>${children}<${Fault} error=${error} />
    <footer><${Button} onClick=${onClose}>Cancel<//><button class="button primary" disabled=${busy}><span>${action}</span></button></footer></form><//>`
}

export async function copyText(text) {
  try { await navigator.clipboard.writeText(text) } catch {
    const area = Object.assign(document.createElement('textarea'), { value: text })
    area.className = 'offscreen'
    document.body.append(area)
    area.select()
    document.execCommand('copy')
    area.remove()
  }
}

export function CopyButton({ text, label = 'Copy', icon = false }) {
  const [done, setDone] = useState(false)
  const copy = async () => { await copyText(typeof text === 'function' ? text() : text); setDone(true); setTimeout(() => setDone(false), 1500) }
  return icon
    ? html`<${IconButton} name=${done ? 'check' : 'copy'} label=${done ? 'Copied' : label} onClick=${copy} />`
    : html`<${Button} icon=${done ? 'check' : 'copy'} onClick=${copy}>${done ? 'Copied' : label}<//>`
}

/** Tabs with arrow keys. */
export function Tabs({ tabs, value, onChange, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    const at = tabs.findIndex(([name]) => name === value)
    onChange(tabs[(at + step + tabs.length) % tabs.length][0])
    event.currentTarget.parentNode.children[(at + step + tabs.length) % tabs.length]?.focus()
  }
  return html`<div class="tabs" role="tablist" aria-label=${label}>${tabs.map(([name, text]) => html`<button type="button" role="tab" aria-selected=${name === value} tabindex=${name === value ? 0 : -1} onClick=${() => onChange(name)} onKeyDown=${move}>${text}</button>`)}</div>`
}

/** A table that scrolls by itself where the page is narrow, or with `stack` becomes a list there. Columns: `[title, row => cell, class]`. */
export const Table = ({ label, columns, rows, empty, stack }) => rows.length === 0
  ? html`<${Empty} title=${empty || 'Nothing here yet'} />`
  : html`<div class=${`table-scroll ${stack ? 'stack' : ''}`} tabindex="0" role="region" aria-label=${label}><table><caption class="offscreen">${label}</caption>
    <thead><tr>${columns.map(([title, , kind]) => html`<th scope="col" class=${kind || ''}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${columns.map(([title, cell, kind]) => html`<td class=${kind || ''} data-label=${title}>${cell(row)}</td>`)}</tr>`)}</tbody></table></div>`

export const Page = ({ title, actions, children, intro }) => {
  useEffect(() => { document.title = `${title} · Tokenmill` }, [title])
  return html`<div class="page"><header class="page-head"><div><h1>${title}</h1>${intro && html`<p class="intro">${intro}</p>`}</div>${actions && html`<div class="actions">${actions}</div>`}</header>${children}</div>`
}

/** Shows a fault of its children in their place, so that one bad part does not take the page with it. */
export class Guard extends Component {
  componentDidCatch(error) { this.setState({ error }) }
  render() {
    return this.state.error ? html`<div class="page"><${Fault} error=${{ message: `This page failed: ${this.state.error.message}` }} /></div>` : this.props.children
  }
}

let announce
export const toast = (text) => announce?.(text)
export function Toasts() {
  const [text, set] = useState('')
  useEffect(() => {
    let timer
    announce = (next) => { set(next); clearTimeout(timer); timer = setTimeout(() => set(''), 3000) }
  }, [])
  return html`<div class=${`toast ${text ? 'shown' : ''}`} role="status" aria-live="polite">${text}</div>`
}
