import { html, useState } from '../vendor/preact.js'
import { seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { date, int } from '../lib/format.js'
import { Code } from '../lib/markdown.js'
import { highlightAs, languages, sample } from '../lib/samples.js'
import { Badge, CopyButton, Empty, Fault, Icon, Loading, Page, Tabs } from '../lib/ui.js'
import { Price, features, modelHref, readModels, stageName, stageTone } from './models.js'

export function Sample({ body }) {
  const { project } = useSession()
  const [language, set] = useState('python')
  const code = sample(language, body, { project })
  return html`<div class="sample"><div class="sample-head"><${Tabs} label="Language" tabs=${languages} value=${language} onChange=${set} /><${CopyButton} text=${code} label="Copy code" /></div><${Code} text=${code} language=${highlightAs[language]} /></div>`
}

const reasoningText = { always: 'Always thinks before it answers', on: 'Thinks unless asked not to', off: 'Thinks where asked to', none: 'Answers without thinking first' }

export function Model({ rest }) {
  const { team, project } = useSession()
  const { data, error } = useRead(() => readModels(team), [team])
  if (error) return html`<${Page} title="Model"><${Fault} error=${error} /><//>`
  if (!data) return html`<${Page} title="Model"><${Loading} /><//>`
  const model = data.find((entry) => entry.id === rest)
  if (!model) return html`<${Page} title="Model"><${Empty} title="There is no such model for your team"><a href="/console/models">All models</a><//><//>`
  const rows = [
    ['Context window', `${int(model.context_window)} tokens, prompt and answer together`],
    ['Parameters', model.parameters ? int(model.parameters) + (model.active_parameters ? `, ${int(model.active_parameters)} active` : '') : null],
    ['Weights', model.quantization], ['Reasoning', reasoningText[model.reasoning ?? 'none']],
    ['LoRA adapters', model.lora_rank ? `up to rank ${model.lora_rank}` : 'none'],
    ['Available from', model.available_from], ['Deprecated from', model.deprecated_from], ['Retired from', model.retired_from],
    ['Files from', model.created ? date(model.created) : null],
  ].filter(([, value]) => value)
  return html`<${Page} title=${model.title || model.id} actions=${html`<a class="button primary" href=${`/console/playground?models=${seg(model.id)}`}><${Icon} name="play" size="16" /><span>Open in the playground</span></a>`}>
    <p class="model-id">${model.id} <${CopyButton} icon text=${model.id} label="Copy the model's id" /></p>
    <p class="badges"><${Badge} tone=${stageTone[model.stage]}>${stageName[model.stage]}<//>${features(model).map((name) => html`<${Badge}>${name}<//>`)}</p>
    ${model.replacement && html`<p class="note warn">Use <a href=${modelHref(model.replacement)}>${model.replacement}</a> instead.</p>`}
    ${model.description && html`<p class="lead">${model.description}</p>`}
    <div class="two"><section><h2>Facts</h2><dl class="rows">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>
    <section><h2>Price</h2><${Price} price=${model.price} /><p class="hint">US dollars per million tokens. Tokens of a prompt that the prefix cache had cost the cached price.</p></section></div>
    <section><h2>Use it</h2><p>Make a key under <a href="/console/keys">API keys</a> and keep it in <code>TOKENMILL_API_KEY</code>. The sample pays from <code>${project}</code>.</p>
    <${Sample} body=${{ model: model.id, messages: [{ role: 'user', content: 'Tell me a joke.' }] }} /></section>
  <//>`
}
