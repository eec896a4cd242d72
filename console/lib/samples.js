// A request as code that works when pasted: the key comes from the environment, never from the page.

const indent = (text, by) => text.replace(/\n/g, `\n${by}`)

function python(value, by = '    ') {
  if (value === null) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (Array.isArray(value)) return value.length ? `[\n${value.map((v) => `${by}${indent(python(v), by)},\n`).join('')}]` : '[]'
  if (typeof value === 'object') {
    const short = JSON.stringify(value)
    if (short.length < 72 && !/true|false|null/.test(short)) return short.replace(/":/g, '": ').replace(/,"/g, ', "')
    return `{\n${Object.entries(value).map(([k, v]) => `${by}${JSON.stringify(k)}: ${indent(python(v), by)},\n`).join('')}}`
  }
  return JSON.stringify(value)
}

/** Fields that OpenAI's packages do not name go through `extra_body` in Python. */
const EXTRA = new Set(['top_k', 'min_p', 'repetition_penalty', 'chat_template_kwargs', 'max_reasoning_tokens'])

export function sample(language, body, { project, origin = location.origin }) {
  const base = `${origin}/v1`
  if (language === 'python') {
    const named = Object.entries(body).filter(([name]) => !EXTRA.has(name))
    const extra = Object.fromEntries(Object.entries(body).filter(([name]) => EXTRA.has(name)))
    if (Object.keys(extra).length) named.push(['extra_body', extra])
    const args = named.map(([name, value]) => `    ${name}=${indent(python(value), '    ')},\n`).join('')
    return `# pip install openai; export TOKENMILL_API_KEY=tm-…\nimport os\nfrom openai import OpenAI\n\nclient = OpenAI(\n    base_url=${JSON.stringify(base)},\n    api_key=os.environ["TOKENMILL_API_KEY"],\n    project=${JSON.stringify(project)},\n)\n\nresponse = client.chat.completions.create(\n${args})\nprint(response.choices[0].message.content)\n`
  }
  if (language === 'javascript') {
    return `// npm install openai; export TOKENMILL_API_KEY=tm-…\nimport OpenAI from "openai";\n\nconst client = new OpenAI({\n  baseURL: ${JSON.stringify(base)},\n  apiKey: process.env.TOKENMILL_API_KEY,\n  project: ${JSON.stringify(project)},\n});\n\nconst response = await client.chat.completions.create(${JSON.stringify(body, null, 2)});\nconsole.log(response.choices[0].message.content);\n`
  }
  const json = JSON.stringify(body, null, 2).replace(/'/g, `'\\''`)
  return `# export TOKENMILL_API_KEY=tm-…\ncurl ${base}/chat/completions \\\n  -H "Authorization: Bearer $TOKENMILL_API_KEY" \\\n  -H "OpenAI-Project: ${project}" \\\n  -H "Content-Type: application/json" \\\n  -d '${json}'\n`
}

export const languages = [['python', 'Python'], ['javascript', 'JavaScript'], ['curl', 'curl']]
export const highlightAs = { python: 'python', javascript: 'javascript', curl: 'bash' }
