import { html, useState } from '../vendor/preact.js'
import { api, list, seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { bytes, date, int } from '../lib/format.js'
import { Badge, Button, Confirm, CopyButton, Dialog, Empty, Fault, Field, FormDialog, Loading, Page, Table } from '../lib/ui.js'
import { Sample } from './model.js'

const pathOf = ({ team, project, name }) => `/api/v1/artifacts/${[team, project, name].map(seg).join('/')}`
const addressOf = ({ team, project, name }, version) => `wandb-artifact:///${team}/${project}/${name}:${version}`
const FILES = ['adapter_config.json', 'adapter_model.safetensors']

/** The two files of an adapter, among whatever was chosen; a text says which is missing. */
function chosen(files) {
  const found = FILES.map((name) => [...files].find((file) => file.name === name))
  const missing = FILES.filter((_, i) => !found[i])
  return { found, missing: missing.length ? `${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing` : null }
}

function Upload({ artifact, session, models, onClose, onDone }) {
  const own = session.projects.filter((path) => path.startsWith(`${session.team}/`)).map((path) => path.split('/')[1])
  const [form, set] = useState({
    name: artifact?.name ?? '', project: artifact?.project ?? session.project.split('/')[1], base: artifact?.base_model ?? models[0]?.id ?? '', alias: '', files: [],
  })
  const put = (name) => (event) => set({ ...form, [name]: event.target.value })
  const send = async () => {
    const { found, missing } = chosen(form.files)
    if (missing) throw new Error(`${missing[0].toUpperCase()}${missing.slice(1)}: choose both files of the adapter's folder.`)
    const body = new FormData()
    body.append('base_model', form.base)
    if (form.alias.trim()) body.append('alias', form.alias.trim())
    found.forEach((file, i) => body.append(FILES[i], file, FILES[i]))
    const made = await api(pathOf({ team: session.team, project: form.project, name: form.name.trim() }), { method: 'POST', form: body })
    onDone(made)
  }
  const { missing } = chosen(form.files)
  return html`<${FormDialog} title=${artifact ? `New version of ${artifact.name}` : 'Upload an adapter'} action="Upload" onClose=${onClose} onSubmit=${send}>
    <p class="hint">A LoRA adapter as PEFT's <code>save_pretrained</code> leaves it. It is checked before it is kept.</p>
    ${!artifact && html`<${Field} label="Name" hint="Letters, digits, “.”, “_” and “-”.">${(id) => html`<input id=${id} required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" autofocus value=${form.name} onInput=${put('name')} />`}<//>
      <div class="two"><${Field} label="Project">${(id) => html`<select id=${id} value=${form.project} onChange=${put('project')}>${own.map((name) => html`<option value=${name}>${name}</option>`)}</select>`}<//>
      <${Field} label="Base model">${(id) => html`<select id=${id} required value=${form.base} onChange=${put('base')}>${models.map((model) => html`<option value=${model.id}>${model.id}</option>`)}</select>`}<//></div>`}
    <${Field} label="Files" hint=${form.files.length ? missing ?? 'Both files are there.' : `${FILES.join(' and ')}.`}>${(id) => html`<input id=${id} type="file" multiple required accept=".json,.safetensors" onChange=${(event) => set({ ...form, files: [...event.target.files] })} />`}<//>
    <${Field} label="Alias" hint="A name for this version, as in “production”; may be empty. Its number and “latest” come by themselves.">${(id) => html`<input id=${id} maxlength="64" value=${form.alias} onInput=${put('alias')} />`}<//><//>`
}

function Use({ artifact, version, onClose }) {
  const [name, setName] = useState(version.aliases.find((alias) => alias !== 'latest') ?? version.version)
  const model = addressOf(artifact, name)
  return html`<${Dialog} wide title=${`Use ${artifact.name}`} onClose=${onClose}>
    <${Field} label="By" hint=${name === version.version ? 'This version for ever.' : 'Whichever version has this name when a request comes.'}>${(id) => html`<select id=${id} value=${name} onChange=${(event) => setName(event.target.value)}>${[version.version, ...version.aliases].map((text) => html`<option value=${text}>${text}</option>`)}</select>`}<//>
    <p class="copy-line"><input readonly class="mono" value=${model} aria-label="Model" onFocus=${(event) => event.target.select()} /><${CopyButton} text=${model} label="Copy the model's name" /></p>
    <${Sample} body=${{ model, messages: [{ role: 'user', content: 'Tell me a joke.' }] }} /><//>`
}

function Versions({ artifact, show }) {
  return html`<${Table} stack label=${`Versions of ${artifact.project}/${artifact.name}`} rows=${artifact.versions} columns=${[
    ['Version', (v) => html`<b>${v.version}</b> ${v.aliases.map((alias) => html`<${Badge} tone=${alias === 'latest' ? 'info' : ''}>${alias}<//> `)}`, 'name'],
    ['Rank', (v) => int(v.rank), 'num'], ['Changes', (v) => v.target_modules.join(', ')], ['Size', (v) => bytes(v.bytes), 'num'],
    ['Uploaded', (v) => html`${date(v.created_at)}<p class="hint">${v.uploaded_by}</p>`],
    ['', (v) => html`<span class="row-tools"><${Button} onClick=${() => show('use', v)} aria-label=${`Use ${artifact.name} ${v.version}`}>Use<//><${Button} onClick=${() => show('alias', v)} aria-label=${`Aliases of ${artifact.name} ${v.version}`}>Aliases<//><${Button} onClick=${() => show('remove', v)} aria-label=${`Delete ${artifact.name} ${v.version}`}>Delete<//></span>`],
  ]} />`
}

function Aliases({ artifact, version, onClose, onDone }) {
  const [alias, set] = useState('')
  const own = version.aliases.filter((name) => name !== 'latest')
  const path = (name) => `${pathOf(artifact)}/aliases/${seg(name)}`
  const add = async () => { await api(path(alias.trim()), { method: 'PUT', body: { version: version.version } }); onDone() }
  const take = async (name) => { await api(path(name), { method: 'DELETE' }); onDone(); onClose() }
  const [error, fail] = useState(null)
  return html`<${FormDialog} title=${`Aliases of ${artifact.name} ${version.version}`} action="Add" onClose=${onClose} onSubmit=${add}>
    ${own.length > 0 && html`<ul class="entries">${own.map((name) => html`<li>${name} <${Button} onClick=${() => take(name).catch(fail)} aria-label=${`Take ${name} away`}>Take away<//></li>`)}</ul>`}<${Fault} error=${error} />
    <${Field} label="Name" hint="One that another version has moves here.">${(id) => html`<input id=${id} required autofocus maxlength="64" value=${alias} onInput=${(event) => set(event.target.value)} />`}<//><//>`
}

export function Artifacts() {
  const session = useSession()
  const { team } = session
  const { data, error, reload } = useRead(async () => ({
    artifacts: await list(`/api/v1/artifacts/${seg(team)}`), models: (await list(`/api/v1/teams/${seg(team)}/models`)).filter((model) => model.lora_rank),
  }), [team])
  const [dialog, set] = useState(null)
  const close = () => set(null)
  const actions = html`<${Button} kind="primary" icon="plus" onClick=${() => set({ name: 'upload' })}>Upload<//>`
  const page = (children) => html`<${Page} title="LoRA artifacts" intro=${html`Adapters of <b>${team}</b>: small files that change how a model answers. Requests name one in place of a model, at the model's price.`} actions=${actions}>${children}<//>`
  if (!data) return page(html`<${error ? Fault : Loading} error=${error} />`)
  const { artifact, version } = dialog ?? {}
  const remove = () => api(version ? `${pathOf(artifact)}/versions/${version.version}` : pathOf(artifact), { method: 'DELETE' }).then(reload)
  return page(html`
    ${data.artifacts.length === 0 && html`<${Empty} title="No adapter yet">Upload one that was trained for ${data.models.map((model, i) => html`${i > 0 && ', '}<b>${model.id}</b>`)}.<//>`}
    ${data.artifacts.map((artifact) => html`<section key=${`${artifact.project}/${artifact.name}`}><div class="section-head"><div><h2>${artifact.project}/${artifact.name}</h2><p class="hint">changes ${artifact.base_model}</p></div>
      <span class="row-tools"><${Button} icon="plus" onClick=${() => set({ name: 'upload', artifact })} aria-label=${`New version of ${artifact.name}`}>New version<//><${Button} onClick=${() => set({ name: 'remove', artifact })} aria-label=${`Delete ${artifact.name}`}>Delete<//></span></div>
      <${Versions} artifact=${artifact} show=${(name, version) => set({ name, artifact, version })} /></section>`)}
    ${dialog?.name === 'upload' && html`<${Upload} artifact=${artifact} session=${session} models=${data.models} onClose=${close} onDone=${reload} />`}
    ${dialog?.name === 'use' && html`<${Use} artifact=${artifact} version=${version} onClose=${close} />`}
    ${dialog?.name === 'alias' && html`<${Aliases} artifact=${artifact} version=${version} onClose=${close} onDone=${reload} />`}
    ${dialog?.name === 'remove' && html`<${Confirm} title=${version ? `Delete ${artifact.name} ${version.version}?` : `Delete ${artifact.name} with all its versions?`} text="Requests that name it are refused from now on. This cannot be undone." action="Delete" onClose=${close} onYes=${remove} />`}`)
}
