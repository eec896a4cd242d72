// A chat beside others: its messages, and the answer that is coming. Answers grow many times a second, so a pane is a
// plain object that tells its view when to look again, at most once a frame.
import { streamChat } from '../lib/api.js'
import { defaults, requestFields } from './settings.js'

let lastId = Date.now()
export const newId = () => `${++lastId}`

export const message = (role, content, more = {}) => ({ id: newId(), rev: 0, role, content, ...more })

export class Pane {
  constructor({ id = newId(), model = '', settings = {}, messages = [] } = {}) {
    Object.assign(this, { id, model, settings: { ...defaults, ...settings }, messages: messages.map((m) => ({ ...m, rev: 0, streaming: false })) })
    this.listeners = new Set()
    this.running = null
    this.frame = 0
  }

  watch(listener) { this.listeners.add(listener); return () => this.listeners.delete(listener) }

  /** Has the view look again, with the next frame. */
  changed(of) {
    if (of) of.rev++
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.listeners.forEach((listener) => listener()) })
  }

  toJSON() { return { id: this.id, model: this.model, settings: this.settings, messages: this.messages.map(({ rev, streaming, ...kept }) => kept) } }

  /** The messages as the API takes them. */
  wire(messages = this.messages) {
    return messages.filter((m) => !m.error || m.content).map((m) => {
      const picked = m.trials?.[m.pick ?? 0] ?? m
      if (m.role === 'tool') return { role: 'tool', tool_call_id: m.tool_call_id, content: m.content }
      if (m.role === 'assistant' && picked.tool_calls?.length) return { role: 'assistant', content: picked.content || null, tool_calls: picked.tool_calls }
      return { role: m.role, content: picked.content }
    })
  }

  body(messages) { return { model: this.model, messages: this.wire(messages), ...requestFields(this.settings) } }

  add(role, content, more) { const made = message(role, content, more); this.messages.push(made); this.changed(); return made }
  remove(of) { this.messages = this.messages.filter((m) => m !== of); this.changed() }
  edit(of, content) { const into = of.trials?.[of.pick ?? 0] ?? of; into.content = content; this.changed(of) }
  move(of, step) {
    const at = this.messages.indexOf(of), to = at + step
    if (to < 0 || to >= this.messages.length) return
    this.messages.splice(at, 1)
    this.messages.splice(to, 0, of)
    this.changed()
  }

  stop() { this.running?.abort() }

  /** Asks for the next message, in front of `before` where it takes that one's place. */
  async answer() {
    if (this.running) return
    const asked = this.body()
    const n = this.settings.trials
    const trials = Array.from({ length: n }, () => ({ content: '', reasoning: '', tool_calls: [], finish: null }))
    const answer = message('assistant', '', { trials, pick: 0, model: this.model, streaming: true, began: performance.now() })
    this.messages.push(answer)
    this.running = new AbortController()
    this.changed()
    try {
      await streamChat(asked, { signal: this.running.signal, onChunk: (chunk) => this.take(answer, chunk) })
    } catch (error) {
      if (error.name === 'AbortError') answer.stopped = true
      else answer.error = error.message
    }
    answer.streaming = false
    answer.total_ms = performance.now() - answer.began
    this.running = null
    if (answer.error && !trials.some((t) => t.content || t.tool_calls.length)) answer.trials = [trials[0]]
    this.changed(answer)
    this.onEnd?.()
  }

  take(answer, chunk) {
    if (chunk.usage) answer.usage = chunk.usage
    for (const { index, delta, finish_reason: finish } of chunk.choices) {
      const trial = answer.trials[index]
      if (!trial) continue
      if (answer.first_ms === undefined && (delta.content || delta.reasoning || delta.tool_calls)) answer.first_ms = performance.now() - answer.began
      if (delta.content) trial.content += delta.content
      if (delta.reasoning) trial.reasoning += delta.reasoning
      for (const call of delta.tool_calls ?? []) {
        const known = (trial.tool_calls[call.index] ??= { id: '', type: 'function', function: { name: '', arguments: '' } })
        if (call.id) known.id = call.id
        if (call.function?.name) known.function.name += call.function.name
        if (call.function?.arguments) known.function.arguments += call.function.arguments
      }
      if (finish) trial.finish = finish
    }
    this.changed(answer)
  }

  /** Answers anew: everything from this message on goes. */
  retry(of) {
    const at = this.messages.indexOf(of)
    this.messages.length = of.role === 'user' ? at + 1 : at
    return this.answer()
  }
}

/** Chats that this person had in this browser; they never leave it unless they are shared. */
export class History {
  constructor(person) { this.name = `chats:${person}` }
  all() { try { return JSON.parse(localStorage.getItem(this.name)) ?? [] } catch { return [] } }
  save(chat) {
    let chats = [chat, ...this.all().filter((other) => other.id !== chat.id)].slice(0, 50)
    while (chats.length) {
      // The oldest give way where the browser's room is used up.
      try { localStorage.setItem(this.name, JSON.stringify(chats)); return } catch { chats = chats.slice(0, -1) }
    }
  }
  remove(id) { localStorage.setItem(this.name, JSON.stringify(this.all().filter((chat) => chat.id !== id))) }
}
