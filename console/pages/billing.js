import { html, useState } from '../vendor/preact.js'
import { api, list, seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { date, nanos, perMillion, time, usd } from '../lib/format.js'
import { Badge, Button, Fault, Field, FormDialog, Loading, Page, Table } from '../lib/ui.js'
import { readModels } from './models.js'

const part = (cap) => { const limit = nanos(cap.limit_usd); return limit > 0n ? Number((nanos(cap.spent_usd) * 10000n) / limit) / 100 : 100 }
const tone = (percent) => (percent >= 100 ? 'bad' : percent >= 80 ? 'warn' : percent >= 50 ? 'info' : '')

function Cap({ cap }) {
  const percent = part(cap)
  return html`<li class="cap"><p><b>${cap.target}</b> <span class="hint">${cap.scope}, each ${cap.period}</span>${tone(percent) && html` <${Badge} tone=${tone(percent)}>${percent >= 100 ? 'reached' : `over ${percent >= 80 ? 80 : 50} %`}<//>`}</p>
    <meter class=${tone(percent)} min="0" max="100" value=${Math.min(100, percent)} aria-label=${`${cap.target}: ${percent} % of the cap`}></meter>
    <p class="hint">${usd(cap.spent_usd)} of ${usd(cap.limit_usd)} (${percent.toFixed(percent < 10 ? 2 : 0)} %)</p></li>`
}

export function Billing() {
  const { team, operator } = useSession()
  const base = `/api/v1/teams/${seg(team)}`
  const now = new Date()
  const { data, error, reload } = useRead(async () => {
    const [credit, caps, models, month] = await Promise.all([api(`${base}/credit`), list(`${base}/caps`), readModels(team), list(`${base}/usage`)])
    return { credit, caps, models, month: month[0]?.cost_usd ?? '0' }
  }, [team])
  const [dialog, set] = useState(null)
  const close = () => set(null)
  const put = (name) => (event) => set({ ...dialog, [name]: event.target.value })
  if (!data) return html`<${Page} title="Billing"><${error ? Fault : Loading} error=${error} /><//>`
  const { credit, caps, models } = data
  const spent = nanos(data.month)
  const daysGone = now.getUTCDate() - 1 + now.getUTCHours() / 24 + 1 / 24
  const daysAll = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate()
  const expected = (spent * BigInt(Math.round((daysAll / daysGone) * 1000))) / 1000n
  const alerts = caps.map((cap) => [cap, part(cap)]).filter(([, percent]) => percent >= 50)
  const sell = models.some((model) => nanos(model.price.input_usd) + nanos(model.price.output_usd) > 0n)
  const left = nanos(credit.left_usd)
  return html`<${Page} title="Billing" intro=${html`Prepaid credit and caps of <b>${team}</b>.`} actions=${operator && html`<${Button} icon="plus" onClick=${() => set({ name: 'credit', kind: 'grant', amount: '', note: '' })}>Add credit<//><${Button} onClick=${() => set({ name: 'cap', scope: 'team', target: team, period: 'month', limit: '' })}>Set a cap<//><${Button} onClick=${() => set({ name: 'price', model: models[0]?.id ?? '', input: '', cached: '', output: '' })}>Set a price<//>`}>
    ${sell && left <= 0n && html`<p class="note bad" role="alert">The credit is used up: requests of models that cost something get 402.</p>`}
    ${alerts.map(([cap, percent]) => html`<p class=${`note ${tone(percent)}`} role="status">${percent >= 100 ? `The cap of ${cap.target} is reached: its requests get 402 until the next ${cap.period}.` : `${cap.target} has used ${percent.toFixed(0)} % of its cap for this ${cap.period}.`}</p>`)}
    <dl class="numbers"><div><dt>Balance</dt><dd>${usd(left)}</dd></div><div><dt>Set aside for requests</dt><dd>${usd(credit.held_usd)}</dd></div><div><dt>Spent this month</dt><dd>${usd(spent)}</dd></div><div><dt>This month at this rate</dt><dd>${usd(expected)}</dd></div></dl>
    <section><h2>Caps</h2>${caps.length ? html`<ul class="caps">${caps.map((cap) => html`<${Cap} cap=${cap} />`)}</ul>` : html`<p class="hint">No cap holds for this team.</p>`}</section>
    <section><h2>Credit</h2><${Table} stack label="Changes of credit" rows=${credit.entries} empty="No credit yet" columns=${[['When', (e) => time(e.at * 1000)], ['What', (e) => e.kind], ['Amount', (e) => usd(e.amount_usd), 'num'], ['Reference', (e) => e.reference], ['Note', (e) => e.note || '–'], ['Expires', (e) => (e.expires_at ? date(e.expires_at) : 'never')]]} /></section>
    <section><h2>Prices</h2><p class="hint">US dollars per million tokens.</p><${Table} stack label="Prices" rows=${models} columns=${[['Model', (m) => html`<b>${m.id}</b>`, 'name'], ['Input', (m) => perMillion(m.price.input_usd), 'num'], ['Cached input', (m) => perMillion(m.price.cached_input_usd), 'num'], ['Output', (m) => perMillion(m.price.output_usd), 'num']]} /></section>
    ${dialog?.name === 'credit' && html`<${FormDialog} title="Add credit" action="Add" onClose=${close} onSubmit=${async () => { await api(`${base}/credit`, { method: 'POST', body: { kind: dialog.kind, amount_usd: dialog.amount, reference: dialog.reference || `console-${Date.now()}`, note: dialog.note } }); reload() }}>
      <${Field} label="Kind">${(id) => html`<select id=${id} value=${dialog.kind} onChange=${put('kind')}><option value="grant">Grant</option><option value="purchase">Purchase</option><option value="refund">Refund</option></select>`}<//>
      <${Field} label="Amount in US dollars">${(id) => html`<input id=${id} inputmode="decimal" pattern="\\d+(\\.\\d{1,9})?" required autofocus value=${dialog.amount} onInput=${put('amount')} />`}<//>
      <${Field} label="Reference" hint="The same one twice changes nothing the second time. Empty: one is made.">${(id) => html`<input id=${id} value=${dialog.reference ?? ''} onInput=${put('reference')} />`}<//>
      <${Field} label="Note">${(id) => html`<input id=${id} value=${dialog.note} onInput=${put('note')} />`}<//><//>`}
    ${dialog?.name === 'cap' && html`<${FormDialog} title="Set a cap" action="Set" onClose=${close} onSubmit=${async () => { await api('/api/v1/caps', { method: 'PUT', body: { scope: dialog.scope, target: dialog.target.trim(), period: dialog.period, limit_usd: dialog.limit || null } }); reload() }}>
      <${Field} label="Of a">${(id) => html`<select id=${id} value=${dialog.scope} onChange=${put('scope')}><option value="team">team</option><option value="project">project</option><option value="key">key</option></select>`}<//>
      <${Field} label="Which" hint="A team, team/project, or a key's id.">${(id) => html`<input id=${id} required value=${dialog.target} onInput=${put('target')} />`}<//>
      <${Field} label="Each">${(id) => html`<select id=${id} value=${dialog.period} onChange=${put('period')}><option value="month">month</option><option value="year">year</option></select>`}<//>
      <${Field} label="At most, in US dollars" hint="Empty takes the cap away.">${(id) => html`<input id=${id} inputmode="decimal" value=${dialog.limit} onInput=${put('limit')} />`}<//><//>`}
    ${dialog?.name === 'price' && html`<${FormDialog} title="Set a price" action="Set" onClose=${close} onSubmit=${async () => { const body = { model: dialog.model, input_usd: dialog.input, output_usd: dialog.output }; if (dialog.cached) body.cached_input_usd = dialog.cached; await api('/api/v1/prices', { method: 'POST', body }); reload() }}>
      <p class="hint">US dollars per million tokens, from now on. What was admitted keeps its price.</p>
      <${Field} label="Model">${(id) => html`<select id=${id} value=${dialog.model} onChange=${put('model')}>${models.map((m) => html`<option>${m.id}</option>`)}</select>`}<//>
      ${[['input', 'Input', true], ['cached', 'Cached input', false], ['output', 'Output', true]].map(([name, label, required]) => html`<${Field} label=${label}>${(id) => html`<input id=${id} inputmode="decimal" required=${required} value=${dialog[name]} onInput=${put(name)} />`}<//>`)}<//>`}
  <//>`
}
