import { html, useEffect, useState } from '../vendor/preact.js'
import { api, seg } from '../lib/api.js'
import { Fault, Field, Loading } from '../lib/ui.js'

const Alone = ({ children }) => html`<main class="alone"><div class="card sign-in"><p class="brand"><img src=${new URL('../icon.svg', import.meta.url).href} width="32" height="32" alt="" /> Tokenmill</p>${children}</div></main>`

function useForm(send) {
  const [state, set] = useState({ busy: false, error: null })
  return [state, async (event) => {
    event.preventDefault()
    set({ busy: true, error: null })
    try { await send(new FormData(event.target)) } catch (error) { set({ busy: false, error }) }
  }]
}

/** Buttons that send the browser to an identity provider; it comes back to `Callback`. */
function Providers({ providers }) {
  const [state, set] = useState({})
  const leave = async (provider) => {
    set({ busy: true })
    const here = location.pathname.startsWith('/console/callback/') ? '/console/' : location.pathname + location.search
    const next = here === '/' ? '/console/' : here
    try { location.assign((await api(`/api/v1/session/providers/${seg(provider.id)}`, { method: 'POST', body: { next } })).location) } catch (error) { set({ error }) }
  }
  if (!providers.length) return null
  return html`<div class="providers">${providers.map((provider) => html`<button type="button" class="button block" disabled=${state.busy} onClick=${() => leave(provider)}><span>Sign in with ${provider.label}</span></button>`)}
    <${Fault} error=${state.error} /><p class="or">or with a password</p></div>`
}

/** Where an identity provider sends the browser back to, with a code that is handed in once. */
export function Callback({ provider, onDone }) {
  const [error, fail] = useState(null)
  useEffect(() => {
    document.title = 'Signing in · Tokenmill'
    const query = new URLSearchParams(location.search)
    // The code is of no use to anybody later, and need not stay in the history.
    history.replaceState(null, '', location.pathname)
    const [code, state, iss] = ['code', 'state', 'iss'].map((name) => query.get(name))
    const refusal = /^[a-z_]{1,40}$/.exec(query.get('error') ?? '')?.[0]
    if (!code) { fail(new Error(refusal === 'access_denied' ? 'The sign-in was cancelled there' : `No sign-in came back${refusal ? `: ${refusal}` : ''}`)); return }
    api(`/api/v1/session/providers/${seg(provider)}`, { method: 'PUT', body: { code, state: state ?? '', ...(iss && { iss }) } }).then(({ next }) => onDone(next), fail)
  }, [])
  if (error) return html`<${Alone}><h1>You are not signed in</h1><${Fault} error=${error} /><p><a href="/console/">Sign in another way, or again</a></p><//>`
  return html`<${Alone}><h1 class="offscreen">Signing in</h1><${Loading} /><//>`
}

export function SignIn({ onDone, providers }) {
  useEffect(() => { document.title = 'Sign in · Tokenmill' }, [])
  const [{ busy, error }, submit] = useForm(async (form) => {
    await api('/api/v1/session', { method: 'POST', body: { person: form.get('person').trim(), password: form.get('password') } })
    await onDone()
  })
  return html`<${Alone}><h1>Sign in</h1><${Providers} providers=${providers} /><form onSubmit=${submit}>
    <${Field} label="Name">${(id) => html`<input id=${id} name="person" autocomplete="username" autocapitalize="none" required autofocus />`}<//>
    <${Field} label="Password">${(id) => html`<input id=${id} name="password" type="password" autocomplete="current-password" required />`}<//>
    <${Fault} error=${error} /><button class="button primary block" disabled=${busy}><span>Sign in</span></button></form>
    <p class="hint">No password yet? Whoever administers your team makes you a link; the first one is printed by <code>tokenmill serve</code>.</p><//>`
}

/** The page of an invitation; its token stands behind the #, which no server log ever sees. */
export function Welcome({ onDone }) {
  const [token] = useState(() => location.hash.slice(1))
  const [state, set] = useState({})
  useEffect(() => {
    document.title = 'Welcome · Tokenmill'
    api('/api/v1/session/invitation', { method: 'POST', body: { token } }).then(set, (error) => set({ error }))
  }, [])
  const [{ busy, error }, submit] = useForm(async (form) => {
    const password = form.get('password')
    if (password !== form.get('again')) throw new Error('The two passwords differ')
    await api('/api/v1/session/invitation', { method: 'PUT', body: { token, password } })
    onDone()
  })
  if (state.error) return html`<${Alone}><h1>This link does not work</h1><${Fault} error=${state.error} /><p><a href="/console/">Sign in</a></p><//>`
  if (!state.person) return html`<${Alone}><${Loading} /><//>`
  return html`<${Alone}><h1>Welcome, ${state.person}</h1><p>Choose the password with which you sign in.</p><form onSubmit=${submit}>
    <input class="offscreen" name="username" autocomplete="username" value=${state.person} readonly tabindex="-1" aria-hidden="true" />
    <${Field} label="Password" hint="At least 10 characters.">${(id) => html`<input id=${id} name="password" type="password" autocomplete="new-password" minlength="10" required autofocus />`}<//>
    <${Field} label="Once more">${(id) => html`<input id=${id} name="again" type="password" autocomplete="new-password" required />`}<//>
    <${Fault} error=${error} /><button class="button primary block" disabled=${busy}><span>Set password and sign in</span></button></form><//>`
}
