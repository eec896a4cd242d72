// Chats side by side under one input.
import { html, useEffect, useRef, useState } from '../vendor/preact.js'
import { api, list, seg } from '../lib/api.js'
import { go, useLocation, useRead, useSession } from '../lib/session.js'
import { time } from '../lib/format.js'
import { Button, CopyButton, Dialog, Empty, Fault, Field, FormDialog, IconButton, Loading, toast } from '../lib/ui.js'
import { Sample } from '../pages/model.js'
import { readModels } from '../pages/models.js'
import { History, Pane, newId } from './chat.js'
import { Message } from './message.js'
import { Settings, changed, defaults, schemaFault, toolsFault } from './settings.js'

const MAX_PANES = 4

function PaneView({ pane, models, only, chosen, onChoose, onClose, onModel }) {
  const [, turn] = useState(0)
  const end = useRef()
  const stick = useRef(true)
  useEffect(() => pane.watch(() => turn((n) => n + 1)), [pane])
  useEffect(() => { if (stick.current && end.current) end.current.scrollTop = end.current.scrollHeight })
  const scrolled = (event) => { const e = event.currentTarget; stick.current = e.scrollHeight - e.scrollTop - e.clientHeight < 60 }
  const price = models.find((model) => model.id === pane.model)?.price
  const n = pane.messages.length
  const system = pane.messages[0]?.role === 'system'
  return html`<section class=${`pane ${chosen && !only ? 'chosen' : ''}`} aria-label=${`Chat with ${pane.model}`} onFocusIn=${onChoose} onClick=${onChoose}>
    <header><label class="offscreen" for=${`model-${pane.id}`}>Model</label>
      <select id=${`model-${pane.id}`} value=${pane.model} onChange=${(event) => onModel(event.target.value)}>${models.map((model) => html`<option value=${model.id}>${model.id}</option>`)}${!models.some((m) => m.id === pane.model) && html`<option value=${pane.model}>${pane.model} (not available)</option>`}</select>
      ${changed(pane.settings).length > 0 && html`<span class="badge info" title="Settings that differ from the defaults">${changed(pane.settings).length} changed</span>`}
      ${!system && html`<${Button} icon="plus" onClick=${() => { pane.messages.unshift({ id: newId(), rev: 0, role: 'system', content: 'You are a helpful assistant.' }); pane.changed() }}>System<//>`}
      ${!only && html`<${IconButton} name="x" label="Close this chat" onClick=${onClose} />`}</header>
    <div class="messages" ref=${end} onScroll=${scrolled} tabindex="0" role="log" aria-label="Messages">
      ${n === 0 && html`<div class="hello"><p>Ask <b>${pane.model}</b> something.</p></div>`}
      ${pane.messages.map((m, i) => html`<${Message} key=${m.id} message=${m} rev=${m.rev} pane=${pane} price=${price} first=${i === 0} last=${i === n - 1} n=${n} busy=${Boolean(pane.running)} />`)}
    </div>
  </section>`
}

function Composer({ panes, onSend, onAdd, busy }) {
  const [text, set] = useState('')
  const [role, setRole] = useState('user')
  const area = useRef()
  useEffect(() => { area.current.style.height = 'auto'; area.current.style.height = `${Math.min(area.current.scrollHeight + 2, 240)}px` }, [text])
  const send = () => { if (!text.trim() || (role === 'user' && busy)) return; (role === 'user' ? onSend : (t) => onAdd(role, t))(text); set('') }
  const keys = (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); send() }
    if (event.key === 'Escape' && busy) panes.forEach((pane) => pane.stop())
  }
  return html`<div class="composer"><label class="offscreen" for="composer">Message</label>
    <textarea id="composer" data-main-input ref=${area} rows="1" placeholder=${role === 'user' ? 'Write a message   /' : `Text of the ${role} message`} value=${text} onInput=${(event) => set(event.target.value)} onKeyDown=${keys} autofocus></textarea>
    <label class="offscreen" for="role">Role of the message</label>
    <select id="role" value=${role} onChange=${(event) => setRole(event.target.value)}><option value="user">User</option><option value="assistant">Assistant</option><option value="system">System</option></select>
    ${busy ? html`<${Button} icon="stop" kind="danger" onClick=${() => panes.forEach((pane) => pane.stop())}>Stop<//>` : html`<${Button} icon=${role === 'user' ? 'send' : 'plus'} kind="primary" disabled=${!text.trim()} onClick=${send}>${role === 'user' ? 'Send' : 'Add'}<//>`}
  </div>`
}

function Library({ history, onOpen, onClose }) {
  const { team } = useSession()
  const [chats, set] = useState(history.all())
  const saved = useRead(async () => ({ prompts: await list(`/api/v1/teams/${seg(team)}/saved?kind=prompt`), presets: await list(`/api/v1/teams/${seg(team)}/saved?kind=preset`) }), [team])
  const open = async (entry) => { onOpen(await api(`/api/v1/teams/${seg(team)}/saved/${entry.id}`)); onClose() }
  const drop = async (entry) => { await api(`/api/v1/teams/${seg(team)}/saved/${entry.id}`, { method: 'DELETE' }); saved.reload() }
  const Saved = ({ title, entries, none }) => html`<h3>${title}</h3>${entries.length ? html`<ul class="entries">${entries.map((entry) => html`<li key=${entry.id}><button type="button" class="link" onClick=${() => open(entry)}>${entry.name}</button><span>v${entry.version} · ${entry.person} · ${time(entry.created_at * 1000)}</span><${IconButton} name="trash" label=${`Delete ${entry.name} v${entry.version}`} onClick=${() => drop(entry)} /></li>`)}</ul>` : html`<p class="hint">${none}</p>`}`
  return html`<${Dialog} title="History and saved" onClose=${onClose} wide>
    <h3>Your chats in this browser</h3>
    ${chats.length ? html`<ul class="entries">${chats.map((chat) => html`<li key=${chat.id}><button type="button" class="link" onClick=${() => { onOpen({ kind: 'chat', body: chat }); onClose() }}>${chat.title || 'Untitled'}</button><span>${chat.panes.map((pane) => pane.model).join(', ')} · ${time(chat.at)}</span><${IconButton} name="trash" label=${`Delete ${chat.title}`} onClick=${() => { history.remove(chat.id); set(history.all()) }} /></li>`)}</ul>` : html`<p class="hint">None yet. They stay in this browser until you share one.</p>`}
    <${Fault} error=${saved.error} />
    ${saved.data && html`<${Saved} title="Prompts of the team" entries=${saved.data.prompts} none="None yet: “Save prompt” keeps the messages of a chat." /><${Saved} title="Models with settings of the team" entries=${saved.data.presets} none="None yet: “Save model and settings” is at the end of the settings." />`}
  <//>`
}

function SaveDialog({ kind, title, hint, body, onClose, initial }) {
  const { team } = useSession()
  const [name, set] = useState(initial ?? '')
  const save = async () => {
    const saved = await api(`/api/v1/teams/${seg(team)}/saved`, { method: 'POST', body: { kind, name: name.trim(), body } })
    toast(`Saved ${saved.name}, version ${saved.version}`)
  }
  return html`<${FormDialog} title=${title} action="Save" onClose=${onClose} onSubmit=${save}><${Field} label="Name" hint=${hint}>${(id) => html`<input id=${id} required maxlength="100" value=${name} onInput=${(event) => set(event.target.value)} autofocus />`}<//><//>`
}

function ShareDialog({ chat, onClose }) {
  const { team } = useSession()
  const [link, set] = useState(null)
  const share = async () => {
    const saved = await api(`/api/v1/teams/${seg(team)}/saved`, { method: 'POST', body: { kind: 'chat', name: (chat.title || 'Chat').slice(0, 100), body: chat } })
    set(`${location.origin}/console/playground?team=${seg(team)}&shared=${saved.id}`)
    return false
  }
  if (link) return html`<${Dialog} title="Share with the team" onClose=${onClose}><p>Members of <b>${team}</b> open this link. They see the chat as it is now.</p><p class="copy-line"><input readonly value=${link} aria-label="Link" /><${CopyButton} text=${link} /></p><//>`
  return html`<${FormDialog} title="Share with the team" action="Make a link" onClose=${onClose} onSubmit=${share}><p>A copy of this chat is kept on the server, for members of <b>${team}</b> alone.</p><//>`
}

function CodeDialog({ pane, onClose }) {
  let body, error
  try { body = pane.body(); if (!body.messages.length) body.messages = [{ role: 'user', content: 'Hello' }] } catch (fault) { error = fault }
  return html`<${Dialog} title="This request as code" onClose=${onClose} wide>${error ? html`<${Fault} error=${error} />` : html`<${Sample} body=${body} />`}<//>`
}

export function Playground() {
  const session = useSession()
  const { query } = useLocation()
  const { data: models, error } = useRead(() => readModels(session.team), [session.team])
  const [history] = useState(() => new History(session.person))
  const [panes, setPanes] = useState(null)
  const [chatId, setChatId] = useState(newId)
  const [at, setAt] = useState(0)
  const [dialog, setDialog] = useState(null)
  const [settingsOpen, setSettingsOpen] = useState(() => innerWidth > 1100)
  const [fault, setFault] = useState(null)
  const [, turn] = useState(0)

  const asked = query.get('models'), shared = query.get('shared')
  useEffect(() => { document.title = 'Playground · Tokenmill' }, [])
  useEffect(() => {
    if (!models) return
    if (shared) {
      api(`/api/v1/teams/${seg(query.get('team') || session.team)}/saved/${seg(shared)}`).then((saved) => { open(saved); go('/console/playground', { replace: true }) }, setFault)
      setPanes((old) => old ?? [new Pane({ model: models[0]?.id })])
    } else if (asked) {
      setPanes(asked.split(',').slice(0, MAX_PANES).map((id) => new Pane({ model: decodeURIComponent(id) })))
      setChatId(newId())
    } else setPanes((old) => old ?? [new Pane({ model: models[0]?.id })])
  }, [models, asked, shared])
  useEffect(() => {
    const unwatch = panes?.map((pane) => pane.watch(() => turn((n) => n + 1)))
    panes?.forEach((pane) => { pane.onEnd = () => keep(panes) })
    return () => unwatch?.forEach((stop) => stop())
  }, [panes, chatId])
  useEffect(() => () => panes?.forEach((pane) => pane.stop()), [panes])

  if (error) return html`<div class="page"><${Fault} error=${error} /></div>`
  if (!models || !panes) return html`<div class="page"><${Loading} /></div>`
  if (!models.length) return html`<div class="page"><${Empty} title="Your team may ask no model yet" /></div>`

  const title = () => panes.flatMap((pane) => pane.messages).find((m) => m.role === 'user')?.content.slice(0, 80) ?? ''
  const chat = () => ({ id: chatId, at: Date.now(), title: title(), panes: panes.map((pane) => pane.toJSON()) })
  function keep() { if (title()) history.save(chat()) }
  function open({ kind, body }) {
    if (kind === 'chat') { setPanes(body.panes.slice(0, MAX_PANES).map((pane) => new Pane(pane))); setChatId(body.id); setAt(0) }
    if (kind === 'prompt') { current.messages = new Pane(body).messages; current.changed() }
    if (kind === 'preset') { current.model = body.model; current.settings = { ...defaults, ...body.settings }; current.changed() }
  }
  const current = panes[Math.min(at, panes.length - 1)]
  const busy = panes.some((pane) => pane.running)
  const setting = (settings) => { current.settings = settings; current.changed(); turn((n) => n + 1) }
  const send = (text) => {
    const wrong = panes.map((pane) => toolsFault(pane.settings.tools) || (pane.settings.format === 'json_schema' && (schemaFault(pane.settings.schema) || (!pane.settings.schema && 'The schema is empty')))).find(Boolean)
    if (wrong) return setFault({ message: `Settings: ${wrong}` })
    setFault(null)
    panes.forEach((pane) => { pane.add('user', text); pane.answer() })
    turn((n) => n + 1)
  }
  const fresh = () => { panes.forEach((pane) => pane.stop()); setPanes(panes.map((pane) => new Pane({ model: pane.model, settings: pane.settings }))); setChatId(newId()) }
  const another = () => { setPanes([...panes, new Pane({ model: models[panes.length % models.length].id, settings: current.settings, messages: current.toJSON().messages.map((m) => ({ ...m, id: newId() })) })]); setAt(panes.length) }
  return html`<div class="playground">
    <header class="bar"><h1>Playground</h1><div class="actions">
      <${Button} icon="plus" onClick=${fresh} title="A new chat with the same models">New<//>
      <${Button} icon="columns" disabled=${panes.length >= MAX_PANES} onClick=${another}>Compare<//>
      <${Button} icon="history" onClick=${() => setDialog('library')}>History<//>
      <${Button} icon="save" disabled=${!current.messages.length} onClick=${() => setDialog('prompt')}>Save prompt<//>
      <${Button} icon="share" disabled=${!title()} onClick=${() => setDialog('share')}>Share<//>
      <${Button} icon="code" onClick=${() => setDialog('code')}>View code<//>
      <${Button} icon="sliders" aria-pressed=${settingsOpen} onClick=${() => setSettingsOpen(!settingsOpen)}>Settings${changed(current.settings).length ? ` (${changed(current.settings).length})` : ''}<//>
    </div></header>
    <div class="stage"><div class="chats"><div class="panes" style=${{ '--panes': panes.length }}>
      ${panes.map((pane, i) => html`<${PaneView} key=${pane.id} pane=${pane} models=${models} only=${panes.length === 1} chosen=${pane === current} onChoose=${() => i !== at && setAt(i)}
        onModel=${(id) => { pane.model = id; pane.changed(); turn((n) => n + 1) }} onClose=${(event) => { event.stopPropagation(); pane.stop(); setPanes(panes.filter((other) => other !== pane)); setAt(0) }} />`)}
    </div><${Fault} error=${fault} /><${Composer} panes=${panes} busy=${busy} onSend=${send} onAdd=${(role, text) => panes.forEach((pane) => pane.add(role, text))} /></div>
    ${settingsOpen && html`<${Settings} key=${current.id} settings=${current.settings} set=${setting} onSave=${() => setDialog('preset')} />`}</div>
    ${dialog === 'library' && html`<${Library} history=${history} onOpen=${open} onClose=${() => setDialog(null)} />`}
    ${dialog === 'prompt' && html`<${SaveDialog} kind="prompt" title="Save prompt" hint="A name that is there already gets a new version." body=${{ messages: current.toJSON().messages }} onClose=${() => setDialog(null)} />`}
    ${dialog === 'preset' && html`<${SaveDialog} kind="preset" title="Save model and settings" hint="A name that is there already gets a new version." body=${{ model: current.model, settings: current.settings }} onClose=${() => setDialog(null)} />`}
    ${dialog === 'share' && html`<${ShareDialog} chat=${chat()} onClose=${() => setDialog(null)} />`}
    ${dialog === 'code' && html`<${CodeDialog} pane=${current} onClose=${() => setDialog(null)} />`}
  </div>`
}
