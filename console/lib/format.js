// Numbers, money and dates for people. Money is computed in whole nano-dollars, as the server does it.

const number = new Intl.NumberFormat('en')
export const int = (n) => (n == null ? '–' : number.format(n))

export function short(n) {
  if (n == null) return '–'
  for (const [unit, size] of [['T', 1e12], ['B', 1e9], ['M', 1e6], ['k', 1e3]]) {
    if (n >= size) return `${(n / size).toFixed(n / size < 10 ? 1 : 0).replace(/\.0$/, '')}${unit}`
  }
  return `${n}`
}

/** Dollars in a text to nano-dollars. */
export function nanos(text) {
  const [, sign, whole, part = ''] = /^(-?)(\d+)(?:\.(\d{0,9}))?$/.exec(text ?? '') ?? [, '', '0']
  const value = BigInt(whole) * 1_000_000_000n + BigInt(part.padEnd(9, '0') || '0')
  return sign ? -value : value
}

/** Nano-dollars for people: as many places as tell something. */
export function usd(value) {
  const n = typeof value === 'bigint' ? value : nanos(value)
  const abs = n < 0n ? -n : n
  const sign = n < 0n ? '−' : ''
  const whole = abs / 1_000_000_000n
  const part = `${abs % 1_000_000_000n}`.padStart(9, '0').replace(/0+$/, '')
  if (whole > 0n || part.length <= 2) {
    const cents = (abs + 5_000_000n) / 10_000_000n
    return `${sign}$${number.format(cents / 100n)}.${`${cents % 100n}`.padStart(2, '0')}`
  }
  return `${sign}$0.${part.slice(0, Math.max(2, part.search(/[1-9]/) + 3))}`
}

/** What tokens cost, rounded up once, as in the ledger. */
export function cost(price, usage) {
  if (!price || !usage) return null
  const prompt = BigInt(usage.prompt_tokens ?? 0)
  const had = BigInt(usage.prompt_tokens_details?.cached_tokens ?? 0)
  const cached = had < prompt ? had : prompt
  const exact = (prompt - cached) * nanos(price.input_usd) + cached * nanos(price.cached_input_usd)
    + BigInt(usage.completion_tokens ?? 0) * nanos(price.output_usd)
  return (exact + 999_999n) / 1_000_000n
}

export const perMillion = (text) => (nanos(text) === 0n ? 'free' : usd(text))

const day = new Intl.DateTimeFormat('en', { year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC' })
const moment = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hour12: false })
export const date = (seconds) => (seconds == null ? '–' : day.format(seconds * 1000))
export const time = (ms) => (ms == null ? '–' : moment.format(ms))
export const isoDay = (at) => new Date(at).toISOString().slice(0, 10)

export function duration(ms) {
  if (ms == null) return '–'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
  const minutes = Math.floor(ms / 60_000)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

export function bytes(n) {
  if (n == null) return '–'
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 1024]]) if (n >= size) return `${(n / size).toFixed(1)} ${unit}`
  return `${n} B`
}
