import { html, useState } from '../vendor/preact.js'
import { api } from '../lib/api.js'
import { date } from '../lib/format.js'
import { useSession } from '../lib/session.js'
import { Badge, Fault, Field, Page, Table } from '../lib/ui.js'

export function Account() {
  const session = useSession()
  const [state, set] = useState({})
  const submit = async (event) => {
    event.preventDefault()
    const form = new FormData(event.target)
    try {
      await api('/api/v1/session/password', { method: 'PUT', body: { current: form.get('current'), password: form.get('password') } })
      event.target.reset()
      set({ done: true })
    } catch (error) { set({ error }) }
  }
  return html`<${Page} title="Account" intro=${html`Signed in as <b>${session.person}</b>. ${session.operator && html`<${Badge} tone="info">operator<//>`}`}>
    <section><h2>Teams</h2><${Table} label="Teams" rows=${session.teams} columns=${[['Team', (t) => html`<b>${t.name}</b>`], ['Role', (t) => t.role], ['Tier', (t) => t.tier], ['Projects', (t) => t.projects.join(', ')]]} /></section>
    ${(session.mail || session.identities.length > 0) && html`<section><h2>Sign-in with a provider</h2>
      <p>${session.mail ? html`Providers find you by <b>${session.mail}</b>.` : 'No mail address is kept for you.'}</p>
      ${session.identities.length > 0 && html`<${Table} stack label="Linked providers" rows=${session.identities} columns=${[['Provider', (i) => html`<b>${i.provider ?? i.issuer}</b>`, 'name'], ['Linked as', (i) => i.mail], ['Since', (i) => date(i.linked_at)]]} />`}</section>`}
    <section><h2>Password</h2><form class="narrow" onSubmit=${submit}>
      <${Field} label="Current password">${(id) => html`<input id=${id} name="current" type="password" autocomplete="current-password" required />`}<//>
      <${Field} label="New password" hint="At least 10 characters. Your other sessions end.">${(id) => html`<input id=${id} name="password" type="password" minlength="10" autocomplete="new-password" required />`}<//>
      <${Fault} error=${state.error} />${state.done && html`<p class="note good" role="status">The password is changed.</p>`}<button class="button primary"><span>Change password</span></button></form></section>
    <p class="hint">Tokenmill ${session.version}</p>
  <//>`
}
