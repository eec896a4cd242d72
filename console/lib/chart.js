// A chart that follows the theme and the width of its place.
import { html, useEffect, useRef } from '../vendor/preact.js'
import UPlot from '../vendor/uplot.js'

if (!document.querySelector('link[data-uplot]')) {
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: new URL('../vendor/uplot.css', import.meta.url).href })
  link.dataset.uplot = ''
  document.head.append(link)
}
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** `series`: `[{ label, values }]` over `times` in seconds. */
export function Chart({ label, times, series, format, height = 240, bars, span, least = 1 }) {
  const place = useRef()
  const chart = useRef()
  const shape = useRef()
  shape.current = { span, least }
  const key = `${series.map((s) => s.label).join()}|${height}`
  const data = [times, ...series.map((s) => s.values)]
  useEffect(() => {
    const draw = () => {
      if (!place.current) return
      chart.current?.destroy()
      const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui' }
      chart.current = new UPlot({
        width: place.current.clientWidth, height, padding: [12, 8, 0, 0], legend: { show: false }, cursor: { y: false },
        tzDate: bars ? (ts) => UPlot.tzDate(new Date(ts * 1000), 'UTC') : undefined,
        scales: {
          ...(span ? { x: { range: (_, first, last) => [(last ?? Date.now() / 1000) - shape.current.span, last ?? Date.now() / 1000] } } : {}),
          y: { range: (_, low, high) => [0, Math.max(shape.current.least, (high ?? 0) * 1.1) || 1] },
        },
        axes: [axis, { ...axis, size: 64, values: (_, values) => values.map(format) }],
        series: [{}, ...series.map((s, i) => ({ label: s.label, stroke: color(`--chart-${(i % 6) + 1}`), fill: bars ? color(`--chart-${(i % 6) + 1}`) : undefined, width: bars ? 0 : 2, paths: bars ? UPlot.paths.bars({ size: [0.7, 48] }) : undefined, points: { show: false }, value: (_, v) => (v == null ? '–' : format(v)) }))],
      }, data, place.current)
    }
    draw()
    const watch = new ResizeObserver(() => place.current && chart.current?.setSize({ width: place.current.clientWidth, height }))
    watch.observe(place.current)
    addEventListener('themechange', draw)
    return () => { watch.disconnect(); removeEventListener('themechange', draw); chart.current?.destroy(); chart.current = null }
  }, [key])
  useEffect(() => { chart.current?.setData(data) })
  return html`<figure><div class="chart" ref=${place} role="img" aria-label=${label}></div><ul class="legend">${series.map((s, i) => html`<li><i class=${`c${(i % 6) + 1}`}></i>${s.label}</li>`)}</ul></figure>`
}
