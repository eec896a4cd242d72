// Speaks to the server. The session's cookie goes along by itself; which project pays is told in a header.

let project = null

/** Chooses who pays from now on: `team/project`. */
export const setProject = (path) => { project = path }

export class ApiError extends Error {
  constructor(status, error = {}) {
    const message = error.message || `The server answered ${status}`
    super(message[0].toUpperCase() + message.slice(1))
    Object.assign(this, { status, code: error.code || '', param: error.param || null })
  }
}

const overListeners = new Set()
/** Calls back when the session turns out to be over. */
export const onSessionOver = (listener) => overListeners.add(listener)

async function failure(response) {
  const body = await response.json().catch(() => ({}))
  const error = new ApiError(response.status, body.error)
  if (response.status === 401 && error.code !== 'wrong_password' && !['project_not_found', 'team_not_accessible'].includes(error.code)) {
    overListeners.forEach((listener) => listener())
  }
  return error
}

/** One request, with a body of JSON or a form with files; gives its JSON, or throws an ApiError. */
export async function api(path, { method = 'GET', body, form, signal, raw = false } = {}) {
  const headers = {}
  if (project) headers['openai-project'] = project
  if (body !== undefined) headers['content-type'] = 'application/json'
  const response = await fetch(path, {
    method, headers, signal, credentials: 'same-origin', body: form ?? (body === undefined ? undefined : JSON.stringify(body)),
  })
  if (!response.ok) throw await failure(response)
  if (raw) return response
  return response.status === 204 ? null : response.json()
}

export const seg = encodeURIComponent
export const list = async (path, options) => (await api(path, options)).data

/** Streams a chat completion: calls `onChunk` with each chunk. */
export async function streamChat(body, { signal, onChunk }) {
  const response = await api('/v1/chat/completions', {
    method: 'POST', signal, raw: true, body: { ...body, stream: true, stream_options: { include_usage: true } },
  })
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let pending = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) break
    pending += value
    let from = 0
    for (let end; (end = pending.indexOf('\n\n', from)) >= 0; from = end + 2) {
      const event = pending.slice(from, end)
      if (!event.startsWith('data: ')) continue
      const data = event.slice(6)
      if (data === '[DONE]') return
      const chunk = JSON.parse(data)
      if (chunk.error) throw new ApiError(500, chunk.error)
      onChunk(chunk)
    }
    pending = pending.slice(from)
  }
  throw new ApiError(500, { message: 'The answer broke off' })
}
