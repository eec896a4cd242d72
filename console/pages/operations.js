import { html, useEffect, useRef, useState } from '../vendor/preact.js'
import { api, list } from '../lib/api.js'
import { useSession } from '../lib/session.js'
import { Chart } from '../lib/chart.js'
import { bytes, duration, int, short, time, usd } from '../lib/format.js'
import { Badge, Button, Fault, Loading, Page, Table, Tabs } from '../lib/ui.js'

const KEPT = 120

function useLive() {
  const [state, set] = useState({ past: [] })
  const stopped = useRef(false)
  useEffect(() => {
    let timer
    const look = async () => {
      try {
        const now = document.hidden ? null : await api('/api/v1/operations')
        if (now) set(({ past }) => ({ past: [...past, now].slice(-KEPT) }))
      } catch (error) { set(({ past }) => ({ past, error })) }
      if (!stopped.current) timer = setTimeout(look, 1000)
    }
    look()
    return () => { stopped.current = true; clearTimeout(timer) }
  }, [])
  return state
}

const sum = (now, name) => now.models.reduce((n, model) => n + (model.stats?.[name] ?? 0), 0)
const rates = (past, name) => past.slice(1).map((now, i) => Math.max(0, (sum(now, name) - sum(past[i], name)) / ((now.at_ms - past[i].at_ms) / 1000)))
const percent = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(0)} %` : '–')

function Audit() {
  const [state, set] = useState({})
  useEffect(() => { list('/api/v1/audit').then((rows) => set({ rows }), (error) => set({ error })) }, [])
  if (!state.rows) return html`<${state.error ? Fault : Loading} error=${state.error} />`
  return html`<${Table} label="Audit log" rows=${state.rows} columns=${[['#', (r) => r.seq, 'num'], ['When', (r) => time(r.at * 1000)], ['Who', (r) => r.actor], ['What', (r) => r.action], ['To what', (r) => r.target], ['Values', (r) => html`<code class="wrap">${JSON.stringify(r.detail)}</code>`]]} />`
}

function Proof() {
  const [state, set] = useState({})
  const verify = async () => { set({ busy: true }); try { set({ found: await api('/api/v1/ledger/verify') }) } catch (error) { set({ error }) } }
  return html`<p>Every amount is computed again from the rows alone, and the chains are checked.</p><${Button} kind="primary" disabled=${state.busy} onClick=${verify}>${state.busy ? 'Verifying…' : 'Verify the ledger'}<//><${Fault} error=${state.error} />
    ${state.found && html`<p class=${`note ${state.found.n_faults ? 'bad' : 'good'}`} role="status">${state.found.n_faults ? `${state.found.n_faults} faults: ${state.found.faults.join('; ')}` : `All is right: ${int(state.found.usage)} requests, ${int(state.found.entries)} changes of credit, ${int(state.found.audit)} administrative changes, ${usd(state.found.cost_usd)} in sum.`}</p>`}`
}

export function Operations() {
  const { operator } = useSession()
  const { past, error } = useLive()
  const [tab, setTab] = useState('requests')
  if (!operator) return html`<${Page} title="Operations"><${Fault} error=${{ message: 'Only operators of this server see this page.' }} /><//>`
  const now = past.at(-1)
  if (!now) return html`<${Page} title="Operations"><${error ? Fault : Loading} error=${error} /><//>`
  const times = past.slice(1).map((entry) => entry.at_ms / 1000)
  const generated = rates(past, 'generated_tokens'), prompts = rates(past, 'prompt_tokens')
  const mean = (values) => { const last = values.slice(-5); return last.length ? last.reduce((a, b) => a + b, 0) / last.length : 0 }
  const pages = sum(now, 'pages_used') + sum(now, 'pages_cached') + sum(now, 'pages_free')
  return html`<${Page} title="Operations" intro="This server, live.">
    ${error && html`<${Fault} error=${error} />`}${now.draining && html`<p class="note warn">The server is draining: new requests are refused.</p>`}
    <dl class="numbers"><div><dt>Generated</dt><dd>${mean(generated).toFixed(0)} tok/s</dd></div><div><dt>Prompts read</dt><dd>${mean(prompts).toFixed(0)} tok/s</dd></div><div><dt>Running / waiting</dt><dd>${int(sum(now, 'running'))} / ${int(sum(now, 'waiting'))}</dd></div><div><dt>KV pages in use</dt><dd>${percent(sum(now, 'pages_used'), pages)}</dd></div><div><dt>Prefix-cache hits</dt><dd>${percent(sum(now, 'cached_tokens'), sum(now, 'cached_tokens') + sum(now, 'prompt_tokens'))}</dd></div><div><dt>Memory</dt><dd>${bytes(now.memory_bytes)}</dd></div><div><dt>Up for</dt><dd>${duration(now.uptime_s * 1000)}</dd></div></dl>
    <div class="card"><${Chart} label=${`Tokens a second over the last two minutes: ${mean(generated).toFixed(0)} generated, ${mean(prompts).toFixed(0)} read`} times=${times} height=${180} series=${[{ label: 'Generated tok/s', values: generated }, { label: 'Prompt tok/s', values: prompts }]} format=${(v) => short(Math.round(v))} span=${KEPT} least=${10} /></div>
    <section><h2>Models</h2><${Table} stack label="Loaded models" rows=${now.models} columns=${[['Model', (m) => html`<b>${m.id}</b>`, 'name'], ['State', (m) => html`<${Badge} tone=${m.up ? 'good' : 'bad'}>${m.up ? 'up' : 'down'}<//>`], ['Weights', (m) => m.quantization ?? '–'], ['Running', (m) => int(m.stats?.running), 'num'], ['Waiting', (m) => int(m.stats?.waiting), 'num'], ['Pages used / cached / free', (m) => (m.stats ? `${int(m.stats.pages_used)} / ${int(m.stats.pages_cached)} / ${int(m.stats.pages_free)}` : '–'), 'num'], ['Steps', (m) => int(m.stats?.steps), 'num'], ['Rows a step', (m) => (m.stats?.steps ? ((m.stats.prompt_tokens + m.stats.generated_tokens) / m.stats.steps).toFixed(1) : '–'), 'num'], ['Hits', (m) => (m.stats ? percent(m.stats.cached_tokens, m.stats.cached_tokens + m.stats.prompt_tokens) : '–'), 'num']]} /></section>
    <section><${Tabs} label="More" value=${tab} onChange=${setTab} tabs=${[['requests', 'Recent requests'], ['servers', 'Servers'], ['audit', 'Audit log'], ['proof', 'Ledger']]} />
      ${tab === 'requests' && html`<p class="hint">Never what was asked or answered.</p><${Table} label="Recent requests" rows=${now.requests} empty="No request since the start" columns=${[['When', (r) => time(r.at_ms)], ['Status', (r) => html`<${Badge} tone=${r.status < 400 ? 'good' : r.status < 500 ? 'warn' : 'bad'}>${r.status}<//>`], ['Model', (r) => r.model ?? '–'], ['Project', (r) => r.project ?? '–'], ['Prompt', (r) => int(r.prompt_tokens), 'num'], ['Cached', (r) => int(r.cached_tokens), 'num'], ['Answer', (r) => int(r.completion_tokens), 'num'], ['First text', (r) => duration(r.first_text_ms), 'num'], ['Took', (r) => duration(r.duration_ms), 'num'], ['Error', (r) => r.error ?? ''], ['Id', (r) => html`<code>${r.id}</code>`]]} />`}
      ${tab === 'servers' && html`<${Table} stack label="Servers" rows=${now.servers} columns=${[['Server', (s) => html`<code>${s.id}</code>`], ['Started', (s) => time(s.started_at * 1000)], ['Last heard', (s) => time(s.heard_at * 1000)], ['Lent', (s) => usd(s.lent_usd), 'num']]} />`}
      ${tab === 'audit' && html`<${Audit} />`}${tab === 'proof' && html`<${Proof} />`}</section>
  <//>`
}
