// One message: what it says, what it cost, and what can be done with it.
import { html, Component, useState } from '../vendor/preact.js'
import { Markdown } from '../lib/markdown.js'
import { cost, duration, int, usd } from '../lib/format.js'
import { Button, CopyButton, IconButton } from '../lib/ui.js'

const roleName = { system: 'System', user: 'You', assistant: 'Assistant', tool: 'Result' }

function Stats({ message, price }) {
  const { usage, first_ms: first, total_ms: total } = message
  const trials = message.trials?.length ?? 1
  // What came in one piece has no pace of its own: then it is the pace of the whole answer.
  const paced = total - first > 50
  const rate = usage && first != null ? (paced ? (usage.completion_tokens - trials) / (total - first) : usage.completion_tokens / total) * 1000 : null
  const spent = cost(price, usage)
  const finish = message.trials?.[message.pick ?? 0]?.finish
  const parts = [
    usage && [`${int(usage.prompt_tokens)} + ${int(usage.completion_tokens)} tokens`, usage.prompt_tokens_details?.cached_tokens ? `${int(usage.prompt_tokens_details.cached_tokens)} of the prompt were cached` : 'prompt + answer'],
    first != null && [duration(first), 'time to the first token'],
    rate > 0 && [`${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`, paced ? 'after the first token' : 'over the whole answer'],
    spent !== null && [spent === 0n ? 'free' : usd(spent), 'cost'],
    finish && finish !== 'stop' && [finish, 'why it ended'],
    message.stopped && ['stopped', 'by you'],
  ].filter(Boolean)
  return parts.length > 0 && html`<p class="stats">${parts.map(([text, title]) => html`<span title=${title}>${text}</span>`)}</p>`
}

function ToolCall({ call, pane, answered }) {
  const [text, set] = useState('')
  const pretty = (() => { try { return JSON.stringify(JSON.parse(call.function.arguments), null, 2) } catch { return call.function.arguments } })()
  const send = (event) => {
    event.preventDefault()
    pane.add('tool', text, { tool_call_id: call.id, name: call.function.name })
    const last = [...pane.messages].reverse().find((m) => m.role === 'assistant')
    const calls = last?.trials?.[last.pick ?? 0]?.tool_calls ?? []
    if (calls.every((c) => pane.messages.some((m) => m.tool_call_id === c.id))) pane.answer()
  }
  return html`<div class="tool-call"><p><b>${call.function.name}</b></p><pre tabindex="0">${pretty}</pre>
    ${!answered && html`<form onSubmit=${send}><label class="offscreen" for=${`result-${call.id}`}>Result of ${call.function.name}</label><textarea id=${`result-${call.id}`} rows="2" class="mono" placeholder="The function's result" value=${text} onInput=${(event) => set(event.target.value)}></textarea><button class="button"><span>Give result</span></button></form>`}</div>`
}

function Editor({ text, onSave, onCancel }) {
  const [value, set] = useState(text)
  const keys = (event) => {
    if (event.key === 'Escape') onCancel()
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) onSave(value)
  }
  return html`<div class="editor"><label class="offscreen" for="editor">Text of the message</label><textarea id="editor" rows=${Math.min(16, value.split('\n').length + 1)} value=${value} onInput=${(event) => set(event.target.value)} onKeyDown=${keys} ref=${(element) => element && document.activeElement !== element && element.focus()}></textarea>
    <p><${Button} kind="primary" onClick=${() => onSave(value)}>Save<//> <${Button} onClick=${onCancel}>Cancel<//></p></div>`
}

export class Message extends Component {
  shouldComponentUpdate(next, state) {
    return next.rev !== this.props.rev || next.message !== this.props.message || next.first !== this.props.first || next.last !== this.props.last || next.busy !== this.props.busy || next.n !== this.props.n || next.price !== this.props.price || state !== this.state
  }

  render({ message: m, pane, price, first, last, busy }, { editing }) {
    const trial = m.trials?.[m.pick ?? 0] ?? m
    const edit = (value) => { pane.edit(m, value); this.setState({ editing: false }); pane.onEnd?.() }
    const body = m.role === 'assistant'
      ? html`${trial.reasoning && html`<details class="reasoning" open=${m.streaming && !trial.content}><summary>${m.streaming && !trial.content ? 'Thinking…' : 'Reasoning'}</summary><div class="plain">${trial.reasoning}</div></details>`}
        ${trial.content && html`<${Markdown} text=${trial.content} done=${!m.streaming} />`}
        ${(trial.tool_calls ?? []).map((call) => html`<${ToolCall} key=${call.id} call=${call} pane=${pane} answered=${m.streaming || pane.messages.some((other) => other.tool_call_id === call.id)} />`)}
        ${m.streaming && !trial.content && !trial.reasoning && !trial.tool_calls?.length && html`<p class="waiting" role="status"><span class="dots" aria-label="Waiting for the answer"></span></p>`}`
      : html`<div class="plain">${m.content}</div>`
    return html`<article class=${`message ${m.role}`} aria-label=${roleName[m.role]}>
      <header><b>${roleName[m.role]}${m.role === 'tool' && m.name ? ` of ${m.name}` : ''}</b>
        ${m.trials?.length > 1 && html`<span class="trials" role="group" aria-label="Trials">${m.trials.map((_, i) => html`<button type="button" aria-pressed=${i === (m.pick ?? 0)} aria-label=${`Trial ${i + 1}`} onClick=${() => { m.pick = i; pane.changed(m) }}>${i + 1}</button>`)}</span>`}
        ${!m.streaming && html`<span class="tools">
          <${CopyButton} icon text=${trial.content ?? ''} label="Copy the message" />
          <${IconButton} name="edit" label="Edit" onClick=${() => this.setState({ editing: true })} />
          ${m.role !== 'system' && m.role !== 'tool' && html`<${IconButton} name="retry" label=${m.role === 'user' ? 'Answer again from here' : 'Try again'} disabled=${busy} onClick=${() => pane.retry(m)} />`}
          ${!first && html`<${IconButton} name="up" label="Move up" disabled=${busy} onClick=${() => { pane.move(m, -1); pane.onEnd?.() }} />`}
          ${!last && html`<${IconButton} name="down" label="Move down" disabled=${busy} onClick=${() => { pane.move(m, 1); pane.onEnd?.() }} />`}
          <${IconButton} name="trash" label="Delete" disabled=${busy} onClick=${() => { pane.remove(m); pane.onEnd?.() }} /></span>`}
      </header>
      ${editing ? html`<${Editor} text=${trial.content ?? ''} onSave=${edit} onCancel=${() => this.setState({ editing: false })} />` : body}
      ${m.error && html`<p class="note bad" role="alert">${m.error}</p>`}
      ${m.role === 'assistant' && !m.streaming && html`<${Stats} message=${m} price=${price} />`}
    </article>`
  }
}
