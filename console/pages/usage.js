import { html, useState } from '../vendor/preact.js'
import { list, seg } from '../lib/api.js'
import { useRead, useSession } from '../lib/session.js'
import { Chart } from '../lib/chart.js'
import { int, isoDay, nanos, short, usd } from '../lib/format.js'
import { Button, Fault, Icon, Loading, Page, Table, Tabs } from '../lib/ui.js'

const DAY = 86400_000
const GROUPS = [['model', 'Model'], ['adapter', 'Adapter'], ['project', 'Project'], ['key', 'Key'], ['person', 'Person']]
const dollars = (text) => Number(nanos(text)) / 1e9
const MEASURES = { cost: ['Cost', (row) => dollars(row.cost_usd), (v) => `$${v < 0.01 && v > 0 ? v.toPrecision(2) : v.toFixed(2)}`], tokens: ['Tokens', (row) => row.prompt_tokens + row.completion_tokens, short], requests: ['Requests', (row) => row.requests, short] }
const MOST = 6

export function Usage() {
  const { team } = useSession()
  const [days, setDays] = useState(30)
  const [by, setBy] = useState('model')
  const [measure, setMeasure] = useState('tokens')
  const until = Math.floor(Date.now() / DAY) * DAY + DAY
  const span = `from=${isoDay(until - days * DAY)}&until=${isoDay(until)}`
  const base = `/api/v1/teams/${seg(team)}/usage?${span}`
  const { data, error, reload } = useRead(async () => ({ daily: await list(`${base}&by=day,${by}`), total: await list(`${base}&by=${by}`), keys: by === 'key' ? await list('/api/v1/keys') : [] }), [team, days, by])
  const [title, value, format] = MEASURES[measure]
  const keyName = (id) => { const key = data?.keys.find((k) => k.id === id); return key ? `${key.name} (${id.slice(0, 6)}…)` : id }
  const nameOf = (row) => (by === 'key' ? keyName(row[by]) : row[by] || (by === 'adapter' ? 'no adapter' : 'unknown'))
  const head = html`<${Page} title="Usage" intro=${html`What <b>${team}</b> used, by UTC day.`} actions=${html`<${Button} icon="retry" onClick=${reload}>Refresh<//><a class="button" href=${`${base}&by=day,${by}&format=csv`} download=${`usage-${team}.csv`}><${Icon} name="download" size="16" /><span>CSV</span></a>`}>
    <div class="filters"><${Tabs} label="Measure" value=${measure} onChange=${setMeasure} tabs=${Object.entries(MEASURES).map(([name, [text]]) => [name, text])} />
      <select aria-label="Group by" value=${by} onChange=${(event) => setBy(event.target.value)}>${GROUPS.map(([name, text]) => html`<option value=${name}>By ${text.toLowerCase()}</option>`)}</select>
      <select aria-label="Time" value=${days} onChange=${(event) => setDays(Number(event.target.value))}>${[1, 7, 30, 90, 365].map((n) => html`<option value=${n}>${n === 1 ? 'Today' : `Last ${n} days`}</option>`)}</select></div>
    ${error && html`<${Fault} error=${error} />`}${!data && !error && html`<${Loading} />`}${data && shown()}<//>`
  function shown() {
    const total = [...data.total].sort((a, b) => value(b) - value(a))
    const sum = (of) => total.reduce((n, row) => n + of(row), 0)
    const times = Array.from({ length: days }, (_, i) => (until - (days - i) * DAY) / 1000)
    const top = total.slice(0, MOST).map((row) => row[by])
    const of = (name, at) => data.daily.filter((row) => row.day === isoDay(at * 1000) && (name === null ? !top.includes(row[by]) : row[by] === name)).reduce((n, row) => n + value(row), 0)
    const series = top.map((name, i) => ({ label: nameOf(total[i]), values: times.map((at) => of(name, at)) }))
    if (total.length > MOST) series.push({ label: 'Others', values: times.map((at) => of(null, at)) })
    // Bars stand on each other: drawn from the tallest sum down.
    const stacked = series.map((s, i) => ({ label: s.label, values: times.map((_, t) => series.slice(i).reduce((n, other) => n + other.values[t], 0)) }))
    return html`<dl class="numbers"><div><dt>Cost</dt><dd>${usd(total.reduce((n, row) => n + nanos(row.cost_usd), 0n))}</dd></div><div><dt>Requests</dt><dd>${int(sum((r) => r.requests))}</dd></div><div><dt>Prompt tokens</dt><dd>${int(sum((r) => r.prompt_tokens))}</dd></div><div><dt>Of them cached</dt><dd>${int(sum((r) => r.cached_tokens))}</dd></div><div><dt>Answer tokens</dt><dd>${int(sum((r) => r.completion_tokens))}</dd></div></dl>
      ${total.length > 0 && html`<div class="card"><${Chart} key=${`${by}${days}${measure}`} label=${`${title} by day and ${by}; the table below has the numbers`} times=${times} series=${stacked} format=${format} bars least=${0} /></div>`}
      <${Table} label=${`Usage by ${by}`} rows=${total} empty="Nothing was used in this time" columns=${[[GROUPS.find(([name]) => name === by)[1], (r) => html`<b>${nameOf(r)}</b>`], ['Requests', (r) => int(r.requests), 'num'], ['Prompt', (r) => int(r.prompt_tokens), 'num'], ['Cached', (r) => int(r.cached_tokens), 'num'], ['Answer', (r) => int(r.completion_tokens), 'num'], ['Cost', (r) => usd(r.cost_usd), 'num']]} />`
  }
  return head
}
