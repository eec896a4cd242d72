import { html, useState } from '../vendor/preact.js'
import { api, list, seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { date, int } from '../lib/format.js'
import { Badge, Button, Confirm, Fault, Field, FormDialog, Loading, Page, Table } from '../lib/ui.js'
import { Secret } from './keys.js'

export function Team({ reloadSession }) {
  const { team, isAdmin, person, operator } = useSession()
  const base = `/api/v1/teams/${seg(team)}`
  const { data, error, reload } = useRead(async () => ({ members: await list(`${base}/members`), projects: await list(`${base}/projects`) }), [team])
  const [dialog, set] = useState(null)
  const close = () => set(null)
  if (!data) return html`<${Page} title="Team"><${error ? Fault : Loading} error=${error} /><//>`
  const put = (name) => (event) => set({ ...dialog, [name]: event.target.value })
  const role = (member, to) => api(`${base}/members/${seg(member)}`, { method: 'PUT', body: { role: to } })
  const invite = async (member) => {
    const made = await api(`${base}/members/${seg(member)}/invitation`, { method: 'POST', body: {} })
    set({ name: 'secret', title: `Link for ${member}`, value: `${location.origin}${made.path}`, text: `Give it to ${member}: it sets their password, once, within 7 days.` })
  }
  const number = (text) => (text === '' || text == null ? null : Number(text))
  return html`<${Page} title="Team" intro=${html`People and projects of <b>${team}</b>.`}>
    <section><div class="section-head"><h2>Members</h2>${isAdmin && html`<${Button} icon="plus" onClick=${() => set({ name: 'member', person: '', role: 'member' })}>Add member<//>`}</div>
      <${Table} stack label="Members" rows=${data.members} columns=${[
        ['Name', (m) => html`<b>${m.person}</b>${m.person === person ? ' (you)' : ''}`, 'name'],
        ['Role', (m) => (isAdmin ? html`<select aria-label=${`Role of ${m.person}`} value=${m.role} onChange=${async (event) => { try { await role(m.person, event.target.value); reload() } catch (fault) { set({ name: 'fault', fault }) } }}><option value="admin">admin</option><option value="member">member</option></select>` : m.role)],
        ['', (m) => m.operator && html`<${Badge} tone="info">operator<//>`],
        ...(isAdmin ? [['Mail', (m) => html`${m.mail ?? ''} ${m.linked && html`<${Badge} tone="good">linked<//>`}`]] : []),
        ...(isAdmin ? [['', (m) => html`<span class="row-tools"><${Button} aria-label=${`Password link for ${m.person}`} onClick=${() => invite(m.person).catch((fault) => set({ name: 'fault', fault }))}>Password link<//><${Button} aria-label=${`Mail address of ${m.person}`} onClick=${() => set({ name: 'mail', person: m.person, mail: m.mail ?? '' })}>Mail<//><${Button} aria-label=${`Remove ${m.person}`} onClick=${() => set({ name: 'remove', person: m.person })}>Remove<//></span>`]] : []),
      ]} /></section>
    <section><div class="section-head"><h2>Projects</h2>${isAdmin && html`<${Button} icon="plus" onClick=${() => set({ name: 'project', project: '' })}>New project<//>`}</div>
      <${Table} stack label="Projects" rows=${data.projects} columns=${[
        ['Name', (p) => html`<b>${team}/${p.name}</b>`, 'name'], ['In flight per model', (p) => int(p.limits.concurrency), 'num'], ['Requests a minute', (p) => int(p.limits.requests_per_minute), 'num'], ['Tokens a minute', (p) => int(p.limits.tokens_per_minute), 'num'], ['Made', (p) => date(p.created_at)],
        ...(isAdmin ? [['', (p) => html`<span class="row-tools"><${Button} aria-label=${`Limits of ${p.name}`} onClick=${() => set({ name: 'limits', project: p.name, ...p.limits })}>Limits<//></span>`]] : []),
      ]} /></section>
    ${dialog?.name === 'fault' && html`<${Fault} error=${dialog.fault} />`}
    ${dialog?.name === 'secret' && html`<${Secret} ...${dialog} onClose=${close} />`}
    ${dialog?.name === 'member' && html`<${FormDialog} title="Add a member" action="Add" onClose=${close} onSubmit=${async () => { await api(`${base}/members/${seg(dialog.person.trim())}`, { method: 'PUT', body: { role: dialog.role } }); reload() }}>
      <${Field} label="Name" hint="Letters, digits, “.”, “_” and “-”. Somebody new comes into being with it.">${(id) => html`<input id=${id} required autofocus value=${dialog.person} onInput=${put('person')} />`}<//>
      <${Field} label="Role">${(id) => html`<select id=${id} value=${dialog.role} onChange=${put('role')}><option value="member">member</option><option value="admin">admin</option></select>`}<//><//>`}
    ${dialog?.name === 'mail' && html`<${FormDialog} title=${`Mail address of ${dialog.person}`} action="Set address" onClose=${close} onSubmit=${async () => { await api(`${base}/members/${seg(dialog.person)}/mail`, { method: 'PUT', body: { mail: dialog.mail.trim() || null } }); reload() }}>
      <${Field} label="Mail address" hint="An identity provider finds the person by it, once. Another address undoes their links. Empty takes it away.">${(id) => html`<input id=${id} type="email" autofocus value=${dialog.mail} onInput=${put('mail')} />`}<//><//>`}
    ${dialog?.name === 'project' && html`<${FormDialog} title="New project" action="Make project" onClose=${close} onSubmit=${async () => { await api(`${base}/projects`, { method: 'POST', body: { name: dialog.project.trim() } }); reload(); reloadSession() }}>
      <${Field} label="Name" hint="Usage is counted by project, and each can have its own limits and caps.">${(id) => html`<input id=${id} required autofocus value=${dialog.project} onInput=${put('project')} />`}<//><//>`}
    ${dialog?.name === 'limits' && html`<${FormDialog} title=${`Limits of ${dialog.project}`} action="Set limits" onClose=${close} onSubmit=${async () => { await api(`${base}/projects/${seg(dialog.project)}/limits`, { method: 'PUT', body: { concurrency: number(dialog.concurrency), requests_per_minute: number(dialog.requests_per_minute), tokens_per_minute: number(dialog.tokens_per_minute) } }); reload() }}>
      <p class="hint">Empty is no limit of its own.</p>
      ${[['concurrency', 'In flight per model'], ['requests_per_minute', 'Requests a minute'], ['tokens_per_minute', 'Tokens a minute']].map(([name, label]) => html`<${Field} label=${label}>${(id) => html`<input id=${id} type="number" min="1" value=${dialog[name] ?? ''} onInput=${put(name)} />`}<//>`)}<//>`}
    ${dialog?.name === 'remove' && html`<${Confirm} title=${`Remove ${dialog.person}?`} text="Their keys stay, and no longer reach this team." action="Remove" onClose=${close} onYes=${async () => { await api(`${base}/members/${seg(dialog.person)}`, { method: 'DELETE' }); reload() }} />`}
  <//>`
}
