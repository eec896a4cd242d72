// Who is signed in, which project is chosen, and where in the console we are.
import { createContext, useContext, useEffect, useState } from '../vendor/preact.js'
import { api, setProject } from './api.js'

export const Session = createContext(null)
export const useSession = () => useContext(Session)

/** Reads who is signed in; where nobody is, with which identity providers one can be: `{ providers }`. */
export async function readSession() {
  const { person, providers } = await api('/api/v1/session')
  if (!person) return { providers }
  const me = await api('/api/v1/me')
  const all = me.teams.flatMap((team) => team.projects.map((name) => `${team.name}/${name}`))
  const kept = localStorage.getItem(`project:${person}`)
  const project = all.includes(kept) ? kept : all.includes(me.default_project) ? me.default_project : all[0] ?? me.default_project
  setProject(project)
  return describe(me, all, project)
}

export function describe(me, projects, project) {
  const team = project.split('/')[0]
  const own = me.teams.find((entry) => entry.name === team)
  return { ...me, projects, project, team, isAdmin: me.operator || own?.role === 'admin' }
}

export function chooseProject(session, project) {
  localStorage.setItem(`project:${session.person}`, project)
  setProject(project)
  return describe(session, session.projects, project)
}

const moved = new Set()
export function go(path, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', path)
  moved.forEach((listener) => listener())
  window.scrollTo(0, 0)
}
addEventListener('popstate', () => moved.forEach((listener) => listener()))

export function useLocation() {
  const [, turn] = useState(0)
  useEffect(() => {
    const listener = () => turn((n) => n + 1)
    moved.add(listener)
    return () => moved.delete(listener)
  }, [])
  return { path: location.pathname.replace(/\/+$/, '') || '/', query: new URLSearchParams(location.search), hash: location.hash.slice(1) }
}

/** Links within the console are followed without a reload. */
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href]')
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.hasAttribute('download')) return
  const to = new URL(link.href)
  if (to.origin !== location.origin || !/^\/(console|docs)(\/|$)/.test(to.pathname) || to.pathname.startsWith('/console/assets/')) return
  if (to.pathname === location.pathname && to.hash) return
  event.preventDefault()
  go(to.pathname + to.search + to.hash)
})

/** Something read from the server: `{ data, error, reload }`. `read` gives a promise. */
export function useRead(read, keys) {
  const [state, set] = useState({})
  const [turn, reload] = useState(0)
  useEffect(() => {
    let isCurrent = true
    set((old) => ({ ...old, error: null }))
    read().then((data) => isCurrent && set({ data }), (error) => isCurrent && set({ error }))
    return () => { isCurrent = false }
  }, [...keys, turn])
  return { ...state, reload: () => reload((n) => n + 1) }
}
