import { html, useState } from '../vendor/preact.js'
import { api, list, seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { date, int, usd } from '../lib/format.js'
import { Badge, Button, Confirm, CopyButton, Dialog, Fault, Field, FormDialog, Loading, Page, Table } from '../lib/ui.js'

/** A secret that is shown this once. */
export function Secret({ title, value, text, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}><p>${text}</p><p class="copy-line"><input readonly class="mono" value=${value} aria-label=${title} onFocus=${(event) => event.target.select()} /><${CopyButton} text=${value} /></p>
    <footer><${Button} kind="primary" onClick=${onClose}>Done<//></footer><//>`
}

const SCOPES = [['inference', 'Ask models'], ['models:read', 'See models'], ['usage:read', 'See usage and balance'], ['admin', 'Manage what I may manage']]

const words = (text) => text.split(/[\s,]+/).filter(Boolean)
const EXPIRIES = [['', 'Never'], ['7', 'In 7 days'], ['30', 'In 30 days'], ['90', 'In 90 days'], ['365', 'In a year']]

/** The fields that a key is made with, and those that can be changed about it afterwards. `keep` is what is offered before the other days. */
function KeyFields({ form, set, keep, children }) {
  const put = (name) => (event) => set({ ...form, [name]: event.target.value })
  const turn = (scope) => set({ ...form, scopes: form.scopes.includes(scope) ? form.scopes.filter((s) => s !== scope) : [...form.scopes, scope] })
  return html`<${Field} label="Name" hint="What it is for, as in “nightly summaries”.">${(id) => html`<input id=${id} required maxlength="100" autofocus value=${form.name} onInput=${put('name')} />`}<//>
    <${Field} label="Expires">${(id) => html`<select id=${id} value=${form.days} onChange=${put('days')}>${keep && html`<option value="keep">${keep}</option>`}${EXPIRIES.map(([days, text]) => html`<option value=${days}>${text}</option>`)}</select>`}<//>
    <fieldset><legend>It may</legend>${SCOPES.map(([scope, text]) => html`<label class="check"><input type="checkbox" checked=${form.scopes.includes(scope)} onChange=${() => turn(scope)} /> ${text}</label>`)}</fieldset>
    <details open=${form.open}><summary>Limits</summary>
      <${Field} label="Only these models" hint="Ids with spaces between; empty for all.">${(id) => html`<input id=${id} value=${form.models} onInput=${put('models')} />`}<//>
      <${Field} label="Only from these networks" hint="As in 10.0.0.0/8; empty for all.">${(id) => html`<input id=${id} value=${form.networks} onInput=${put('networks')} />`}<//>
      <div class="two"><${Field} label="Requests a minute">${(id) => html`<input id=${id} type="number" min="1" value=${form.rpm} onInput=${put('rpm')} />`}<//><${Field} label="Tokens a minute">${(id) => html`<input id=${id} type="number" min="1" value=${form.tpm} onInput=${put('tpm')} />`}<//></div>
      ${children}
    </details>`
}

/** What the fields say, in the API's words; `null` is no limit. */
const terms = (form) => ({
  name: form.name.trim(), scopes: form.scopes, allowed_models: words(form.models).length ? words(form.models) : null,
  allowed_networks: words(form.networks).length ? words(form.networks) : null, requests_per_minute: Number(form.rpm) || null, tokens_per_minute: Number(form.tpm) || null,
  ...(form.days === 'keep' ? {} : { expires_in_s: form.days ? Number(form.days) * 86400 : null }),
})

function NewKey({ onClose, onMade }) {
  const [form, set] = useState({ name: '', days: '', scopes: ['inference', 'models:read', 'usage:read'], models: '', networks: '', rpm: '', tpm: '' })
  const make = async () => onMade(await api('/api/v1/keys', { method: 'POST', body: terms(form) }))
  return html`<${FormDialog} title="New API key" action="Make key" onClose=${onClose} onSubmit=${make}><${KeyFields} form=${form} set=${set} /><//>`
}

/** Caps are the operators': whoever owns a key could lift its cap otherwise. */
function EditKey({ entry, cap, mayCap, onClose, onDone }) {
  const [form, set] = useState({
    name: entry.name, days: 'keep', scopes: entry.scopes, models: (entry.allowed_models ?? []).join(' '), networks: (entry.allowed_networks ?? []).join(' '),
    rpm: entry.requests_per_minute ?? '', tpm: entry.tokens_per_minute ?? '', cap: cap?.limit_usd ?? '', open: true,
  })
  const save = async () => {
    const capped = mayCap && form.cap !== (cap?.limit_usd ?? '') ? { monthly_cap_usd: form.cap || null } : {}
    await api(`/api/v1/keys/${seg(entry.id)}`, { method: 'PATCH', body: { ...terms(form), ...capped } })
    onDone()
  }
  return html`<${FormDialog} title=${`Change ${entry.name}`} action="Save" onClose=${onClose} onSubmit=${save}><p class="hint">Holds from the next request on. The secret stays.</p>
    <${KeyFields} form=${form} set=${set} keep=${entry.expires_at ? `As it is: ${date(entry.expires_at)}` : 'As it is: never'}>
      ${mayCap && html`<${Field} label="Cap each month, in US dollars" hint="Empty for none.">${(id) => html`<input id=${id} inputmode="decimal" pattern="\\d+(\\.\\d{1,9})?" value=${form.cap} onInput=${(event) => set({ ...form, cap: event.target.value })} />`}<//>`}<//><//>`
}

const state = (key) => (key.revoked_at ? ['bad', 'Revoked'] : key.expires_at && key.expires_at * 1000 < Date.now() ? ['warn', 'Expired'] : ['good', 'Active'])

export function Keys() {
  const { operator, person } = useSession()
  const { data: read, error, reload } = useRead(async () => ({ keys: await list('/api/v1/keys'), caps: operator ? await list('/api/v1/caps') : [] }), [])
  const [dialog, set] = useState(null)
  const [all, setAll] = useState(false)
  const close = () => set(null)
  if (!read) return html`<${Page} title="API keys"><${error ? Fault : Loading} error=${error} /><//>`
  const rows = read.keys.filter((key) => (all || key.person === person)).sort((a, b) => Boolean(a.revoked_at) - Boolean(b.revoked_at) || b.created_at - a.created_at)
  const capOf = (key) => read.caps.find((cap) => cap.scope === 'key' && cap.target === key.id && cap.period === 'month')
  const limits = (key) => [capOf(key) && `${usd(capOf(key).limit_usd)} a month`, key.allowed_models && `${key.allowed_models.length} ${key.allowed_models.length === 1 ? 'model' : 'models'}`, key.allowed_networks && key.allowed_networks.join(', '), key.requests_per_minute && `${int(key.requests_per_minute)} requests/min`, key.tokens_per_minute && `${int(key.tokens_per_minute)} tokens/min`].filter(Boolean).join(' · ') || '–'
  return html`<${Page} title="API keys" intro="Programs ask with a key. Each is shown once; the server keeps only a hash." actions=${html`<${Button} kind="primary" icon="plus" onClick=${() => set({ name: 'new' })}>New key<//>`}>
    ${operator && html`<label class="check"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /> Everybody's keys</label>`}
    <${Table} stack label="API keys" rows=${rows} empty="No key yet" columns=${[
      ['Name', (key) => html`<b>${key.name}</b>${key.console && html` <${Badge} tone="info">this console<//>`}<p class="hint"><code>tm-${key.id}-…${key.last_four}</code> made ${date(key.created_at)}</p><p class="hint">${key.scopes.join(', ')}</p>`, 'name'],
      ...(all ? [['Person', (key) => key.person]] : []), ['State', (key) => html`<${Badge} tone=${state(key)[0]}>${state(key)[1]}<//>`],
      ['Limits', limits], ['Expires', (key) => (key.expires_at ? date(key.expires_at) : 'never')],
      ['', (key) => !key.revoked_at && !key.console && html`<span class="row-tools"><${Button} onClick=${() => set({ name: 'edit', key })} aria-label=${`Edit ${key.name}`}>Edit<//><${Button} onClick=${() => set({ name: 'rotate', key })} aria-label=${`Rotate ${key.name}`}>Rotate<//><${Button} onClick=${() => set({ name: 'revoke', key })} aria-label=${`Revoke ${key.name}`}>Revoke<//></span>`],
    ]} />
    <p class="hint">What you do in this console is counted under the key marked so; nobody knows its secret.</p>
    ${dialog?.name === 'new' && html`<${NewKey} onClose=${() => set((now) => (now?.name === 'new' ? null : now))} onMade=${(made) => { set({ name: 'secret', value: made.key, title: 'Your new key', text: 'Copy it now: it is not shown again.' }); reload() }} />`}
    ${dialog?.name === 'edit' && html`<${EditKey} entry=${dialog.key} cap=${capOf(dialog.key)} mayCap=${operator} onClose=${close} onDone=${reload} />`}
    ${dialog?.name === 'secret' && html`<${Secret} ...${dialog} onClose=${close} />`}
    ${dialog?.name === 'revoke' && html`<${Confirm} title=${`Revoke ${dialog.key.name}?`} text="The next request with it is refused, and answers that are running end. This cannot be undone." action="Revoke" onClose=${close} onYes=${async () => { await api(`/api/v1/keys/${seg(dialog.key.id)}?cut_streams=true`, { method: 'DELETE' }); reload() }} />`}
    ${dialog?.name === 'rotate' && html`<${FormDialog} title=${`Rotate ${dialog.key.name}`} action="Make a new secret" onClose=${() => set((now) => (now?.name === 'rotate' ? null : now))} onSubmit=${async () => { const made = await api(`/api/v1/keys/${seg(dialog.key.id)}/rotate`, { method: 'POST', body: { overlap_s: Number(dialog.overlap ?? 86400) } }); set({ name: 'secret', value: made.key, title: 'The new secret', text: 'Copy it now: it is not shown again.' }); reload() }}>
      <${Field} label="The old secret works on for">${(id) => html`<select id=${id} value=${dialog.overlap ?? '86400'} onChange=${(event) => set({ ...dialog, overlap: event.target.value })}><option value="0">not at all</option><option value="3600">an hour</option><option value="86400">a day</option><option value="604800">a week</option></select>`}<//><//>`}
  <//>`
}
