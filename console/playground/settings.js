// What a request may say besides its messages, as the panel shows it.
import { html } from '../vendor/preact.js'
import { Button, Field } from '../lib/ui.js'

export const NUMBERS = [
  ['temperature', 'Temperature', 0, 2, 0.05], ['top_p', 'Top-p', 0, 1, 0.01], ['max_completion_tokens', 'Max tokens', 1, 131072, 1],
  ['presence_penalty', 'Presence penalty', -2, 2, 0.05], ['frequency_penalty', 'Frequency penalty', -2, 2, 0.05], ['seed', 'Seed', 0, 4294967295, 1],
]
export const defaults = Object.freeze({
  temperature: null, top_p: null, max_completion_tokens: null, presence_penalty: null, frequency_penalty: null, seed: null,
  stop: '', format: 'text', schema: '', tools: '', tool_choice: 'auto', thinking: '', effort: '', trials: 1,
})
export const changed = (settings) => Object.keys(defaults).filter((name) => settings[name] !== defaults[name])

const EXAMPLE_SCHEMA = JSON.stringify({ type: 'object', properties: { city: { type: 'string' }, celsius: { type: 'number' } }, required: ['city', 'celsius'], additionalProperties: false }, null, 2)
const EXAMPLE_TOOLS = JSON.stringify([{ type: 'function', function: { name: 'get_weather', description: 'The weather in a city', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false } } }], null, 2)

/** What is wrong with a JSON text, or null. */
export function jsonFault(text, isRight, shape) {
  if (!text.trim()) return null
  try { return isRight(JSON.parse(text)) ? null : `It must be ${shape}` } catch (error) { return error.message }
}
export const toolsFault = (text) => jsonFault(text, (value) => Array.isArray(value) && value.every((tool) => tool?.function?.name), 'a list of {"type": "function", "function": {"name": …}}')
export const schemaFault = (text) => jsonFault(text, (value) => value && typeof value === 'object' && !Array.isArray(value), 'a JSON schema object')

/** The fields of a request that the settings ask for. */
export function requestFields(settings) {
  const fields = {}
  for (const [name] of NUMBERS) if (settings[name] !== null) fields[name] = settings[name]
  const stop = settings.stop.split('\n').filter(Boolean)
  if (stop.length) fields.stop = stop.length === 1 ? stop[0] : stop
  if (settings.format === 'json_object') fields.response_format = { type: 'json_object' }
  if (settings.format === 'json_schema') fields.response_format = { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: JSON.parse(settings.schema || '{}') } }
  if (settings.tools.trim()) {
    fields.tools = JSON.parse(settings.tools)
    if (settings.tool_choice !== 'auto') fields.tool_choice = ['none', 'required'].includes(settings.tool_choice) ? settings.tool_choice : { type: 'function', function: { name: settings.tool_choice } }
  }
  if (settings.thinking) fields.chat_template_kwargs = { enable_thinking: settings.thinking === 'on' }
  if (settings.effort) fields.reasoning_effort = settings.effort
  if (settings.trials > 1) fields.n = settings.trials
  return fields
}

function NumberRow({ name, label, low, high, step, value, onChange }) {
  const isOwn = value !== null
  const slides = high - low <= 4
  return html`<div class=${`setting ${isOwn ? 'own' : ''}`}>
    <div class="setting-head"><label for=${`set-${name}`}>${label}</label>
      <input id=${`set-${name}`} type="number" min=${low} max=${high} step=${step} placeholder="default" value=${value ?? ''} onInput=${(event) => onChange(event.target.value === '' ? null : Number(event.target.value))} />
      ${isOwn && html`<button type="button" class="reset" aria-label=${`Reset ${label}`} title="Back to the default" onClick=${() => onChange(null)}>×</button>`}</div>
    ${slides && html`<input type="range" aria-label=${`${label}, slider`} min=${low} max=${high} step=${step} value=${value ?? (name === 'temperature' || name === 'top_p' ? 1 : 0)} onInput=${(event) => onChange(Number(event.target.value))} />`}
  </div>`
}

const Choice = ({ name, label, value, options, own, onChange }) => html`<div class=${`setting ${own ? 'own' : ''}`}><div class="setting-head"><label for=${`set-${name}`}>${label}</label>
  <select id=${`set-${name}`} value=${value} onChange=${(event) => onChange(event.target.value)}>${options.map(([of, text]) => html`<option value=${of}>${text}</option>`)}</select></div></div>`

export function Settings({ settings, set, onSave }) {
  const put = (name) => (value) => set({ ...settings, [name]: value })
  const own = changed(settings)
  const is = (name) => own.includes(name)
  const toolNames = (() => { try { return JSON.parse(settings.tools || '[]').map((tool) => tool.function.name) } catch { return [] } })()
  return html`<aside class="settings" aria-label="Settings">
    <header><h2>Settings</h2>${own.length > 0 && html`<button type="button" class="link" onClick=${() => set({ ...defaults })}>Reset ${own.length}</button>`}</header>
    ${NUMBERS.map(([name, label, low, high, step]) => html`<${NumberRow} key=${name} name=${name} label=${label} low=${low} high=${high} step=${step} value=${settings[name]} onChange=${put(name)} />`)}
    <div class=${`setting ${is('stop') ? 'own' : ''}`}><${Field} label="Stop texts" hint="One a line">${(id) => html`<textarea id=${id} rows="2" value=${settings.stop} onInput=${(event) => put('stop')(event.target.value)}></textarea>`}<//></div>
    <h3>Reasoning</h3>
    <${Choice} name="thinking" label="Thinking" value=${settings.thinking} own=${is('thinking')} onChange=${put('thinking')} options=${[['', 'Default'], ['on', 'On'], ['off', 'Off']]} />
    <${Choice} name="effort" label="Effort" value=${settings.effort} own=${is('effort')} onChange=${put('effort')} options=${[['', 'Default'], ['low', 'Low'], ['medium', 'Medium'], ['high', 'High']]} />
    <h3>Form of the answer</h3>
    <${Choice} name="format" label="Response format" value=${settings.format} own=${is('format')} onChange=${put('format')} options=${[['text', 'Text'], ['json_object', 'Any JSON object'], ['json_schema', 'By a JSON schema']]} />
    ${settings.format === 'json_schema' && html`<div class="setting own"><${Field} label="Schema" error=${schemaFault(settings.schema)}>${(id) => html`<textarea id=${id} class="mono" rows="9" spellcheck="false" value=${settings.schema} onInput=${(event) => put('schema')(event.target.value)}></textarea>`}<//>
      ${!settings.schema && html`<${Button} onClick=${() => put('schema')(EXAMPLE_SCHEMA)}>Start from an example<//>`}</div>`}
    <h3>Functions</h3>
    <div class=${`setting ${is('tools') ? 'own' : ''}`}><${Field} label="Definitions" hint="A JSON list, as the API takes it" error=${toolsFault(settings.tools)}>${(id) => html`<textarea id=${id} class="mono" rows=${settings.tools ? 9 : 2} spellcheck="false" value=${settings.tools} onInput=${(event) => put('tools')(event.target.value)}></textarea>`}<//>
      ${!settings.tools && html`<${Button} onClick=${() => put('tools')(EXAMPLE_TOOLS)}>Start from an example<//>`}</div>
    ${settings.tools && html`<${Choice} name="tool_choice" label="Choice" value=${settings.tool_choice} own=${is('tool_choice')} onChange=${put('tool_choice')} options=${[['auto', 'The model decides'], ['none', 'None'], ['required', 'At least one'], ...toolNames.map((name) => [name, name])]} />`}
    <h3>Trials</h3>
    <div class=${`setting ${is('trials') ? 'own' : ''}`}><div class="setting-head"><label for="set-trials">Answers to each message</label><input id="set-trials" type="number" min="1" max="8" value=${settings.trials} onInput=${(event) => put('trials')(Math.min(8, Math.max(1, Number(event.target.value) || 1)))} /></div></div>
    <${Button} icon="save" onClick=${onSave}>Save model and settings<//>
  </aside>`
}

