import { html, useState } from '../vendor/preact.js'
import { list, seg } from '../lib/api.js'
import { go, useRead, useSession } from '../lib/session.js'
import { perMillion, short } from '../lib/format.js'
import { Badge, Button, Empty, Fault, Icon, Loading, Page } from '../lib/ui.js'

export const stageTone = { available: 'good', experimental: 'info', deprecated: 'warn' }
export const stageName = { available: 'Generally available', experimental: 'Experimental', deprecated: 'Deprecated' }
export const modelHref = (id) => `/console/models/${id.split('/').map(seg).join('/')}`
export const readModels = (team) => list(`/api/v1/teams/${seg(team)}/models`)

export function features(model) {
  return [
    model.kind === 'vision' ? 'Vision' : 'Text',
    ...(model.reasoning && model.reasoning !== 'none' ? ['Reasoning'] : []),
    ...(model.lora_rank ? ['LoRA'] : []),
  ]
}

export const Price = ({ price }) => html`<dl class="price"><div><dt>Input</dt><dd>${perMillion(price.input_usd)}</dd></div><div><dt>Cached</dt><dd>${perMillion(price.cached_input_usd)}</dd></div><div><dt>Output</dt><dd>${perMillion(price.output_usd)}</dd></div></dl>`

function Card({ model, chosen, onChoose }) {
  return html`<li class=${`card model ${chosen ? 'chosen' : ''}`}>
    <div class="model-head"><h2><a href=${modelHref(model.id)}>${model.title || model.id}</a></h2>
      <label class="choose"><input type="checkbox" checked=${chosen} onChange=${onChoose} /><span class="offscreen">Select ${model.id}</span></label></div>
    <p class="model-id">${model.id}</p>
    ${model.description && html`<p class="model-text">${model.description}</p>`}
    <p class="badges"><${Badge} tone=${stageTone[model.stage]}>${stageName[model.stage]}<//>${features(model).map((name) => html`<${Badge}>${name}<//>`)}${!model.up && html`<${Badge} tone="bad">Down<//>`}</p>
    <p class="facts"><span><b>${short(model.context_window)}</b> context</span>${model.parameters && html`<span><b>${short(model.parameters)}</b> parameters</span>`}${model.quantization && html`<span><b>${model.quantization}</b></span>`}</p>
    <${Price} price=${model.price} /><p class="hint">per million tokens</p>
    <a class="button block" href=${`/console/playground?models=${seg(model.id)}`} aria-label=${`Try it: ${model.id}`}><${Icon} name="play" size="16" /><span>Try it</span></a>
  </li>`
}

export function Models() {
  const { team, isAdmin } = useSession()
  const { data, error } = useRead(() => readModels(team), [team])
  const [words, setWords] = useState('')
  const [kind, setKind] = useState('')
  const [stage, setStage] = useState('')
  const [chosen, setChosen] = useState([])
  if (error) return html`<${Page} title="Models"><${Fault} error=${error} /><//>`
  if (!data) return html`<${Page} title="Models"><${Loading} /><//>`
  const asked = words.toLowerCase().split(/\s+/).filter(Boolean)
  const seen = data.filter((model) => {
    const text = `${model.id} ${model.title ?? ''} ${model.description ?? ''}`.toLowerCase()
    return asked.every((word) => text.includes(word)) && (!kind || features(model).includes(kind)) && (!stage || model.stage === stage)
  })
  const kinds = [...new Set(data.flatMap(features))]
  const stages = [...new Set(data.map((model) => model.stage))]
  const turn = (id) => setChosen((old) => (old.includes(id) ? old.filter((other) => other !== id) : [...old, id]))
  return html`<${Page} title="Models" intro="What your team can ask, and what it costs.">
    <div class="filters">
      <div class="search"><${Icon} name="search" size="16" /><input type="search" data-main-input aria-label="Search models" placeholder="Search models   /" value=${words} onInput=${(event) => setWords(event.target.value)} /></div>
      <select aria-label="Type" value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">All types</option>${kinds.map((name) => html`<option>${name}</option>`)}</select>
      <select aria-label="Stage" value=${stage} onChange=${(event) => setStage(event.target.value)}><option value="">All stages</option>${stages.map((name) => html`<option value=${name}>${stageName[name]}</option>`)}</select>
    </div>
    ${seen.length ? html`<ul class="cards">${seen.map((model) => html`<${Card} key=${model.id} model=${model} chosen=${chosen.includes(model.id)} onChoose=${() => turn(model.id)} />`)}</ul>`
      : html`<${Empty} title=${data.length ? 'No model matches' : 'Your team may ask no model yet'}>${data.length > 0 && html`<${Button} onClick=${() => { setWords(''); setKind(''); setStage('') }}>Clear the filters<//>`}<//>`}
    ${chosen.length > 0 && html`<div class="floating" role="region" aria-label="Selection"><span>${chosen.length} selected</span>
      <${Button} onClick=${() => setChosen([])}>Clear<//><${Button} kind="primary" icon="columns" onClick=${() => go(`/console/playground?models=${chosen.map(seg).join(',')}`)}>${chosen.length === 1 ? 'Open in the playground' : `Compare ${chosen.length} models in the playground`}<//></div>`}
  <//>`
}
