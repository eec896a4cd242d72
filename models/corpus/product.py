"""Questions about Tokenmill and how to use it, with answers that hold for the program."""

from .product_questions import LATER, MORE

MODEL = "tokenmill/demo"
URL = "http://127.0.0.1:8080/v1"
PYTHON = f"""```python
from openai import OpenAI

client = OpenAI(base_url="{URL}", api_key="YOUR_KEY")
answer = client.chat.completions.create(
    model="{MODEL}",
    messages=[{{"role": "user", "content": "Tell me a joke."}}],
)
print(answer.choices[0].message.content)
```"""
PYTHON_STREAM = f"""```python
from openai import OpenAI

client = OpenAI(base_url="{URL}", api_key="YOUR_KEY")
stream = client.chat.completions.create(
    model="{MODEL}",
    messages=[{{"role": "user", "content": "Tell me a joke."}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="")
```"""
NODE = f"""```js
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{URL}", apiKey: "YOUR_KEY" }});
const answer = await client.chat.completions.create({{
  model: "{MODEL}",
  messages: [{{ role: "user", content: "Tell me a joke." }}],
}});
console.log(answer.choices[0].message.content);
```"""
CURL = f"""```sh
curl {URL}/chat/completions \\
  -H "Authorization: Bearer YOUR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "Tell me a joke."}}]}}'
```"""

HOWTO = "[How do I|How do I|How would one|How might I|What must I do to|What do I have to do to|How exactly do I|How does a user|How does somebody|Is it possible to|Would it be possible to|Do you know how to|Teach me to|Let me|I am trying to|What is needed to|What do I type to|I would like to|What's the easiest way to|How can I|How to|How does one|How would I|How should I|What is the way to|What do I do to|Tell me how to|Show me how to|Explain how to|I want to|I'd like to|I need to|Help me|What is the command to|what command do I use to|which command lets me|where do I|where can I|can you show me how to|can I|is there a way to|steps to|what must I do to|how do you|could you tell me how to|I don't know how to|best way to]"
TM = "[Tokenmill|tokenmill|Token Mill|this|this thing|this server|the server|this program|it|this tool]"
T = "[Tokenmill|tokenmill|Token Mill|TokenMill]"

# name: (questions, answers, what somebody asks next)
INTENTS = {
    "what": (
        [f"What is {T}?", f"what's {T}", f"[tell me|explain|describe|say something|I want to know|can you tell me] [about|what you know about|more about|something about] {T}", f"{T}?", f"what does {T} do?", f"explain {T} [to me|in simple words|in one sentence|briefly|]", f"what is this [server|program|tool|software|thing|project]?", f"what [can|could] I [do|use] {T} for?", f"what is {T} [for|good for|about|used for|actually]?", f"[why would I|why should I|who should] use {T}?", f"describe {T} [in one sentence|in a few words|]", f"give me [a summary|an overview|a short description|an introduction] of {T}", f"what kind of [software|program|tool|thing] is {T}?", f"so what is {T} all about?", "what am I talking to? what server is this?", f"I have never heard of {T}, what is it?", f"is {T} [a program|a company|a server|an app|software]?", f"introduce {T}"],
        ["Tokenmill is a serverless-inference service that you run yourself. [It serves language models over an OpenAI-compatible API, with keys, teams, projects, credits and caps.|It is one program that serves language models over an OpenAI-compatible API and keeps track of keys, teams, credits and usage.]",
         "Tokenmill is one program that serves language models over an OpenAI-compatible API. It has its own inference engine, so it runs on a laptop with nothing else installed, and it manages keys, teams, projects, credits and caps.",
         "Tokenmill is a server for language models that your team runs itself: one binary with an inference engine, API keys, teams, projects and usage, reached with any OpenAI SDK."],
        ["start", "features", "sdk", "makekey"],
    ),
    "features": (
        [f"what are the [features|main features|strengths|advantages|benefits] of {T}?", f"what can {T} do?", f"what is special about {T}?", f"why {T}?", f"what makes {T} [different|special|good|unique]?", f"list the features of {T}", f"what does {T} offer?", f"what does {T} have that others do not?", f"[name|give me] [three|some|a few] features of {T}"],
        ["Tokenmill offers:\n- an OpenAI-compatible API with streaming\n- its own inference engine and a built-in model\n- keys, teams and projects\n- credits and caps that cannot be overshot\n- tools, structured output and reasoning\n- answers that do not depend on how busy the server is",
         "The main points are: one binary, an OpenAI-compatible API, an engine of its own, keys with teams and projects, exact credits and caps, and the same answer for the same request and seed, however busy the server is."],
        ["start", "engine", "credits"],
    ),
    "start": (
        [f"{HOWTO} [start|run|launch|begin with|get started with|use|try|set up|boot|fire up|start using|get going with] {TM}?", "[getting started|quickstart|quick start|start|how to start|first steps|how do I begin|where do I start]", f"what is the first command?", f"[start|starting|running|launching] {T}", "how do I start the server?", "how do I run the server", "which command starts the server?", "start server", "how to serve"],
        ["Run `tokenmill serve`. With nothing else given it listens on 127.0.0.1:8080, serves the built-in model, and prints the base URL, a key and a curl line that you can paste.",
         "Start it with:\n\n```sh\ntokenmill serve\n```\n\nIt listens on 127.0.0.1:8080 and prints the base URL, a first key and a curl line to try.",
         "Type `tokenmill serve`. On the first start it makes a team, a project and a key for you, and prints everything that you need to send a request."],
        ["sdk", "curl", "chat", "addmodel", "stop", "stop", "makekey", "port"],
    ),
    "makekey": (
        [f"{HOWTO} [make|create|get|generate|add|obtain|have|issue|produce] [a|a new|an|another|my own|my first|one more] [key|API key|api key|access key|api-key|secret key|token key]?", f"{HOWTO} [make|create|generate|get] [keys|API keys|new keys]?", "[create|make|new|get|generate] [key|api key|a key|an api key|keys]", "I need [a key|an API key|a new key|another key|an api key]", "where do I get [a key|an API key|my key|the key|api keys]?", f"where does the key come from?", "how do keys work?", "I have no key", "[can I have|give me|can you give me|can you make me] [a key|an API key]", "which command makes a key?", f"what is the command for a new key?", f"how does somebody else get a key?", "api key?", "key creation", "I lost my key, [what now|what do I do|can I see it again]?", "do I need an API key?"],
        ["Run `tokenmill keys create`. The key is shown once, so copy it right away.",
         "Use this command:\n\n```sh\ntokenmill keys create\n```\n\nThe key is shown only once, so keep it in a safe place.",
         "With `tokenmill keys create`. [It prints the new key once; after that only its beginning and last four characters can be seen.|The key is printed once. Send it as `Authorization: Bearer YOUR_KEY`.]"],
        ["listkeys", "listkeys", "revoke", "revoke", "usekey", "sdk"],
    ),
    "listkeys": (
        [f"{HOWTO} [list|see|show|view|display|find] [my|all|the|all my|existing|all the] [keys|API keys|api keys]?", "[list|show] [keys|my keys|all keys|api keys]", "which keys [exist|do I have|are there]?", "how many keys do I have?", "what keys are there?", "where can I see my keys?"],
        ["Run `tokenmill keys list`. It shows each key's id, name and last four characters, never the whole key.", "With `tokenmill keys list`. Only the beginning and the last four characters of each key are shown, since the whole key is never stored."],
        ["revoke", "makekey"],
    ),
    "revoke": (
        [f"{HOWTO} [revoke|delete|remove|disable|cancel|invalidate|kill|block|withdraw|get rid of] [a|my|the|an old|an API|one] [key|api key]?", "[revoke|delete|remove] [key|a key|api key|my key]", "[my key leaked|somebody stole my key|I published my key by mistake|my key is public|my key was stolen|I leaked my key], what [now|should I do|do I do]?", "how do I make a key invalid?", f"revoking keys?", "a colleague left, how do I block his key?"],
        ["Run `tokenmill keys revoke ID`. The key stops working from the next request. `tokenmill keys list` shows the ids.", "Use `tokenmill keys revoke ID` with the key's id, which `tokenmill keys list` shows. From the next request on it is refused. [Then make a new one with `tokenmill keys create`.|]"],
        ["makekey", "listkeys"],
    ),
    "usekey": (
        [f"{HOWTO} [use|send|pass|give|present|provide] [the|my|a] [key|API key|api key]?", "where do I put [the|my] [key|API key|api key]?", "which header does the key go in?", "how do I authenticate?", "[authentication|authorization|auth header|bearer token|how does authentication work|how to authenticate|how does login work]?", "what is the authorization header?", "how does a client log in?", "in which header goes the key?"],
        ["Send it in a header: `Authorization: Bearer YOUR_KEY`. An OpenAI SDK does that for you when you set `api_key`.", "Put the key in the `Authorization` header as `Bearer YOUR_KEY`, or give it to your SDK as `api_key`."],
        ["sdk", "curl", "makekey"],
    ),
    "stream": (
        [f"{HOWTO} [stream|stream answers|stream an answer|stream the answer|get a stream|turn on streaming|enable streaming|use streaming|stream tokens|receive tokens one by one|get the answer token by token|see the answer as it is written|stream the response|stream responses|stream a reply|get streamed answers|have streaming]?", "[streaming|stream|stream?|streaming?|stream=true|sse|SSE]", f"does {TM} [support|have|do|allow|offer|know] [streaming|streams|server-sent events|SSE]?", "can I [stream|get a stream|stream answers|stream the output]?", "can answers be streamed?", "what does stream=true do?", "how does streaming work?", "is streaming [possible|supported|available]?", "how do I see words as they come?", "can I get the answer piece by piece?", "I want the tokens as they are generated"],
        ["Set `stream=true` in your request. The answer then comes token by token as server-sent events, and ends with `[DONE]`.",
         f"Pass `stream=True` to the SDK and loop over the chunks:\n\n{PYTHON_STREAM}",
         "Add `\"stream\": true` to the request. Each chunk carries a piece of the text in `choices[0].delta.content`, and `data: [DONE]` marks the end. [With `stream_options` you also get the usage.|]"],
        ["sdk", "curl", "usage"],
    ),
    "addmodel": (
        [f"{HOWTO} [add|serve|load|use|run|install|host|bring|import|try|deploy|plug in|put in] [a|another|my own|a different|a new|my|other|a bigger|an other|a second|a real] [model|model file|GGUF|GGUF file|language model|gguf model|LLM]?", f"{HOWTO} [add|serve|load|use] [models|other models|more models|bigger models|GGUF files|my models]?", "[add|serve|load|new|another] [model|a model|my model]", "can I use [another|my own|a bigger|a different|a better|other] [model|models]?", "where do I put [a|my] [model|model file|gguf file]?", f"does {TM} [run|support|serve] other models?", "how do I serve a GGUF file?", "how do I serve two models?", "which flag sets the model?", "I have a GGUF file, what now?", "how do I replace the built-in model?", "I have downloaded a model, how do I use it?", "how do I serve a model from a folder?", "is there a bigger model?", "how do I get a better model?"],
        ["Run `tokenmill serve --model PATH`, where PATH is a GGUF file or a Hugging Face model folder. Give `--model` more than once to serve several models.",
         "Point the server at it:\n\n```sh\ntokenmill serve --model PATH\n```\n\nPATH may be a GGUF file or a folder with `config.json` and `*.safetensors`.",
         "Start the server with `tokenmill serve --model PATH`. [Use the option several times for several models.|`tokenmill inspect PATH` shows what is in the file first.|`tokenmill models` then lists it.]"],
        ["formats", "inspect", "listmodels", "whichmodels", "gguf"],
    ),
    "whichmodels": (
        [f"which [models|architectures|model families|kinds of models] [does {TM} support|are supported|can I run|work|can it run|does it run|can be served]?", f"does {TM} [support|run|serve|work with] [Llama|Qwen|Mistral|SmolLM|llama 3|Qwen3|qwen2|Llama models|Qwen models|mistral models]?", "what models can I [use|run|serve|load]?", "supported [models|architectures]?", "can I run [llama|qwen|mistral|Llama 3|Qwen3|smollm]?", "is [llama|qwen|mistral] supported?"],
        ["The engine runs Llama, Mistral, SmolLM, Qwen2, Qwen3 and Qwen3-MoE models. Serve one with `tokenmill serve --model PATH`.", "Models of the Llama, Mistral, SmolLM, Qwen2, Qwen3 and Qwen3-MoE families, as GGUF files or Hugging Face folders. Start them with `tokenmill serve --model PATH`."],
        ["addmodel", "formats", "quant"],
    ),
    "formats": (
        [f"which [file formats|formats|files|weight formats|kinds of files] [does {TM} read|are supported|can it read|does it load|work|can I load]?", "what [file formats|formats|file types] [are supported|can I use|does it understand]?", f"does {TM} [read|support|load] [safetensors|GGUF|gguf files|Hugging Face models|hugging face folders|huggingface models]?", "can I load [safetensors|a Hugging Face folder|a hugging face model]?", "gguf or safetensors?", "is gguf supported?"],
        ["Tokenmill reads GGUF files (also split ones) and Hugging Face folders with `config.json`, `*.safetensors` and `tokenizer.json`.", "GGUF files, versions 2 and 3, and Hugging Face model folders with safetensors. `tokenmill inspect FILE` shows what is inside."],
        ["addmodel", "inspect", "gguf", "quant"],
    ),
    "quant": (
        [f"which [quantisations|quantizations|quant formats|quants|number types|weight types] [does {TM} support|are supported|can it read|work]?", f"does {TM} [support|read|run] [quantised models|quantized models|Q4_K|Q8_0|Q4_0|4-bit models|8-bit models|BF16|F16]?", "what quantisation [is supported|does this model use|are you]?", "are quantised models supported?", "is Q4_K_M supported?"],
        ["Tokenmill reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4 and NVFP4. I am stored as Q8_0 myself.", "F32, F16, BF16 and the quantised types Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4 and NVFP4."],
        ["addmodel", "gguf", "inspect"],
    ),
    "gguf": (
        ["what is [GGUF|gguf|a GGUF file|a gguf|gguf format|the GGUF format]?", "[explain|tell me about|describe] [GGUF|gguf|the gguf format]", "GGUF?", "what does GGUF mean?", "what's a gguf", "what is in a GGUF file?", "what are gguf files?", "why gguf?", "what is the difference between GGUF and safetensors?"],
        ["GGUF is a file format for language models. One file holds the weights, often quantised, together with the tokenizer and the settings that are needed to run the model.", "A GGUF file holds a whole language model: its weights, its tokenizer, its chat template and its settings. Tokenmill serves such a file with `tokenmill serve --model FILE`."],
        ["inspect", "addmodel", "quant"],
    ),
    "inspect": (
        [f"{HOWTO} [inspect|look into|look inside|examine|check|see what is in|show what is in|look at|read|analyse|open|find out what is in|view] [a|the|my|a GGUF|a model] [file|model file|GGUF|gguf file|model|model folder]?", "[inspect|inspect a file|inspect file|inspect a model|inspect model]", "what does tokenmill inspect do?", "what is in this file?", "how do I see the tensors of a model?", "how do I find out a model's architecture?", "show me what is inside a gguf", "how can I see the metadata of a model file?", "which command shows the content of a model file?"],
        ["Run `tokenmill inspect FILE`. It shows the architecture, the metadata and the tensors of a GGUF file or a model folder.", "Use:\n\n```sh\ntokenmill inspect FILE\n```\n\nIt prints what is in the file: architecture, tokenizer, tensors and their types.", "With `tokenmill inspect FILE`. FILE may be a GGUF file or a Hugging Face model folder."],
        ["addmodel", "gguf", "quant"],
    ),
    "listmodels": (
        [f"{HOWTO} [list|see|show|view|display|find out] [the|all|my|available|all the] [models|available models|served models|loaded models|models it serves]?", "[list|show|available] models", "which models [are there|are available|are served|do I have|are loaded|can I choose|are running]?", "what models are available?", "what models do you have?", "where is the list of models?", "models?", "what is the model name?", "what do I put as model?", "which model id do I use?", "what is your model id?", "what name do I put in the model field?"],
        [f"Run `tokenmill models`, or ask the API: `GET /v1/models`. The built-in model is `{MODEL}`.", "With `tokenmill models`. Over the API, `GET /v1/models` gives the same list."],
        ["addmodel", "sdk"],
    ),
    "chat": (
        [f"{HOWTO} [chat|talk|chat in the terminal|talk to a model in the terminal|have a conversation in the terminal|chat on the command line|use the terminal chat|chat with a model|talk to you in the terminal|chat without code|talk to the model from the shell|try the model by hand]?", "[chat|terminal chat|chat in terminal|tokenmill chat|command line chat|chat command]", "is there a [terminal|command line|console] chat?", "can I chat [in the terminal|from the command line|in my shell]?", "what does tokenmill chat do?", "how can I talk to you without code?", "is there an interactive mode?", "which command opens a chat?"],
        ["Run `tokenmill chat`. It opens a conversation in the terminal; Ctrl-C stops an answer. Add a model's name to talk to another model.", "Use:\n\n```sh\ntokenmill chat\n```\n\nAnswers are streamed as they are made, and Ctrl-C stops one.", "With `tokenmill chat`, or `tokenmill chat MODEL` for a certain model. You talk to it right in the terminal."],
        ["stop", "sdk", "listmodels"],
    ),
    "sdk": (
        [f"{HOWTO} [use|connect|call|point|set up|configure|use it with|use you with|connect with|talk to it with|send a request with|call it with|call you from] [the|an|my|] [OpenAI SDK|openai sdk|OpenAI client|openai library|OpenAI Python package|SDK|openai python|Python|openai package|python client|OpenAI API client] [to it|with it|with Tokenmill|here|]?", "[openai sdk|sdk|python|openai|OpenAI client|python example|sdk example|python sdk]", f"does {TM} work with [the OpenAI SDK|OpenAI clients|openai|the openai library|my openai code]?", "show me [a Python example|an example|some code|a code sample|python code|an SDK example|example code] [for Tokenmill|for the API|for a request|]", "how do I point my SDK at this server?", "how do I point the OpenAI SDK at Tokenmill?", "what do I change in my OpenAI code?", "how do I call the API [from Python|in python|from my program|from code|]?", "how do I use the API?", "[how do I send|send] a request?", "can I use my openai code?", "is it OpenAI compatible?", "how do I move over from OpenAI?", "what do I set base_url to in python?"],
        [f"Set `base_url` to `{URL}` and `api_key` to your key:\n\n{PYTHON}", f"Point it at Tokenmill with `base_url`:\n\n{PYTHON}", f"Any OpenAI SDK works. Give it `base_url=\"{URL}\"` and your key as `api_key`; the rest of your code stays as it is."],
        ["makekey", "stream", "node", "curl", "listmodels"],
    ),
    "node": (
        [f"{HOWTO} [use|call|connect] [it|Tokenmill|this|the API|the server] [from|with|in] [Node|JavaScript|node.js|TypeScript|the OpenAI Node SDK|js]?", "[node|javascript|node example|js example|typescript|node sdk]", "show me [a Node example|a JavaScript example|node code|javascript code] [for Tokenmill|]", "and in [node|javascript|typescript]?", "does it work with [node|javascript|typescript]?", "how do I use the openai node package?"],
        [f"With the `openai` package:\n\n{NODE}", f"Set `baseURL` and `apiKey`:\n\n{NODE}"],
        ["makekey", "stream", "curl"],
    ),
    "curl": (
        [f"{HOWTO} [use|call|send|make|try] [it|Tokenmill|a request|the API|a call|a test] [with|using|by] curl?", "[curl|curl example|curl command|with curl|show me curl|and with curl?|and curl?|a curl line]", "show me [a|the] curl [example|command|line]", "how does a curl request look?", "what is the curl command?", "can I use curl?", "give me a curl example", "how do I call the API from the shell?"],
        [f"Like this:\n\n{CURL}", f"Put your key in and paste this:\n\n{CURL}"],
        ["makekey", "stream", "sdk"],
    ),
    "url": (
        [f"what is the [base URL|base url|url|address|endpoint|API address|base_url|api url] [of {TM}|here|]?", "[base url|base_url|endpoint|url|address]?", f"which [port|address|host] does {TM} [listen on|use|run on]?", "what port is it?", "where does the server listen?", "what is the default port?", "which url do I use?", "where is the API?", "which endpoint do I call?", "what is the endpoint for chat completions?"],
        [f"The base URL is `{URL}`. Chat completions are at `POST /v1/chat/completions`.", f"By default it listens on 127.0.0.1:8080, so the base URL is `{URL}`."],
        ["port", "sdk", "curl"],
    ),
    "port": (
        [f"{HOWTO} [change|set|choose|use another|use a different|pick another|configure] [the|] [port|address|listen address]?", "[change port|another port|different port|listen address]", "port 8080 is [busy|in use|taken|already used], [what now|what can I do|what do I do]?", "can I use [another port|port 9000|a different port]?", "how do I listen on all interfaces?", "how can other machines reach the server?", "the port is already in use", "how do I make it reachable from my network?"],
        ["Start it with `tokenmill serve --listen ADDR`, for example `tokenmill serve --listen 127.0.0.1:9000`.", "Use the option `--listen`: `tokenmill serve --listen 0.0.0.0:8080` makes it reachable from other machines, `--listen 127.0.0.1:9000` picks another port."],
        ["url", "config"],
    ),
    "data": (
        [f"where [is|are|does {TM} keep|does {TM} store|does {TM} save|do you keep|is] [the|its|my|all|your] [data|files|keys|database|state|usage data|settings]?", "where is [data|my data|the data|everything] [kept|stored|saved]?", "which folder is the data in?", "[data directory|data dir|data folder|where is my data|storage]?", "how do I change the data directory?", f"what database does {TM} use?", "where does it save things?", "can I choose where data is kept?", "where are keys stored?", "where does tokenmill put its files?", "how do I move my data?"],
        ["In your user data directory, in a SQLite database. Choose another place with `tokenmill serve --data-dir DIR`.", "Tokenmill keeps its data in the user's data directory. With `tokenmill serve --data-dir DIR` you can choose another folder.", "By default in your user data directory; `--data-dir DIR` changes that. [Keys are stored only as a hash.|Small setups use SQLite, large ones Postgres.]"],
        ["config", "privacy"],
    ),
    "config": (
        [f"{HOWTO} [configure|use a config file for|change the settings of|set options for|set up a config file for|write a config for] {TM}?", "[config|config file|configuration|settings|options|toml]?", "is there a config file?", "what format is the config file?", "where do settings go?", "how do I give it a config file?", "which options are there?", "how do I see all options?"],
        ["Write a TOML file and start with `tokenmill serve --config FILE`. Every option is documented, and an unknown key is an error. `tokenmill --help` lists the commands.", "Use `tokenmill serve --config FILE`, where FILE is in TOML. Unknown keys are refused, so that a typing mistake is never ignored."],
        ["port", "data", "help"],
    ),
    "help": (
        [f"what commands [are there|does {TM} have|can I use|exist]?", "[list|show] [the|all|] [commands|subcommands]", "[commands|which commands|tokenmill commands|command list|cli help]?", "how do I get help on the command line?", "what subcommands does tokenmill have?", "is there a man page?", "what are the commands of tokenmill?"],
        ["The commands are:\n- `tokenmill serve` starts the server\n- `tokenmill chat` opens a chat in the terminal\n- `tokenmill keys create`, `list` and `revoke` manage keys\n- `tokenmill models` lists the models\n- `tokenmill inspect FILE` shows what is in a model file\n- `tokenmill team`, `credit`, `cap`, `price` and `usage` manage teams and money", "There are `tokenmill serve`, `chat`, `keys`, `models`, `inspect`, `team`, `project`, `credit`, `cap`, `price`, `usage` and some more. Add `--help` to any of them to learn more."],
        ["start", "chat", "makekey", "inspect"],
    ),
    "stop": (
        [f"{HOWTO} [stop|quit|end|shut down|exit|close|terminate|turn off|halt|kill] {TM}?", "[stop|shutdown|quit|stop server|stop the server|how to stop|how to exit|exit]?", "how do I stop the server?", "how do I shut it down cleanly?", "how do I end tokenmill serve?", "what happens on SIGTERM?", "how do I stop an answer?", "can I cancel an answer?", "what if I close the connection?"],
        ["Press Ctrl-C in its terminal. Running requests are finished first, new ones are refused, then it ends.", "With Ctrl-C, or by sending it SIGTERM. It takes no new requests, finishes the running ones and exits.", "Press Ctrl-C. In `tokenmill chat`, Ctrl-C stops the answer that is being written."],
        ["start", "data"],
    ),
    "licence": (
        [f"[what is|what's|which is] the [licence|license] [of {TM}|]?", f"[under which|what|which] [licence|license] is {TM} [published|released|under|licensed]?", f"is {TM} [open source|free|free software|free to use|opensource]?", "[licence|license|license?|open source?|apache?]", f"does {TM} cost [money|anything]?", f"can I use {TM} [at work|commercially|in my company|for free]?", "what does it cost?", "may I change the code?", "can I sell it?", "what licence do you have?", "is the source code available?"],
        ["Tokenmill is open source under the Apache License 2.0 (Apache-2.0). You may use it freely, at work too.", "Apache-2.0. You may use, change and share it, also commercially.", "It is free and open source, under the Apache-2.0 licence. The built-in model has the same licence."],
        ["what", "start"],
    ),
    "credits": (
        ["[what are|how do|explain|tell me about] credits [work|]?", "[credits|credit|prices|billing|money|cost of tokens]?", f"how does {TM} [count|handle|manage] [money|costs|credits|prices]?", "how are requests charged?", "what does a request cost?", "how does billing work?", "what happens when my credits are used up?", "how do prices work?", "what is a credit?", "what does error 402 mean?", "why do I get a 402?"],
        ["Credits are prepaid money of a team. Each request costs its tokens times the model's price. When the credits are used up, further requests get error 402.", "A team has prepaid credits. A request reserves what it may cost at most, and pays for exactly the tokens that it used. Without credits left, requests are refused with 402."],
        ["caps", "teams", "usage"],
    ),
    "caps": (
        ["[what are|how do|explain|tell me about] [caps|spending caps|spending limits|limits] [work|]?", "[caps|cap|spending cap|spending limit|budget]?", f"{HOWTO} [limit|cap|restrict] [spending|costs|the costs|what a team spends|the budget]?", "what is a cap?", "can a cap be overshot?", "what is a spending cap?", "can I limit what a key spends?", "how do I set a budget?"],
        ["A cap is the most that may be spent in a month, or a year for enterprise teams. It can be set per team, project and key, and it is never overshot.", "Caps limit spending per team, project or key. A request reserves its worst case before it runs, so the cap cannot be overshot; when it is reached, requests get error 402."],
        ["credits", "teams"],
    ),
    "teams": (
        ["[what are|how do|explain|tell me about] [teams|projects|teams and projects|teams work] [work|here|]?", "[teams|projects|team|project|teams and projects]?", "what is a [team|project]?", "how do I choose a project?", "what is the OpenAI-Project header?", "how do I use a project?", "what is the difference between a team and a project?", "who pays for a request?", "how do I attribute usage to a project?", "which project is used by default?", "can my team share a server?", "how are users organised?"],
        ["People are in teams, and teams have projects. A key belongs to a person. The header `OpenAI-Project: team/project` says which project a request belongs to; without it, your default team and the project `inference` are used.", "A team has members and credits; its projects divide up the usage. Send the header `OpenAI-Project: team/project` to choose one. Without it your default team's project `inference` is used."],
        ["credits", "caps", "makekey"],
    ),
    "usage": (
        [f"{HOWTO} [see|get|count|measure|find out] [my usage|the usage|how many tokens I used|token usage|the tokens used|the number of tokens]?", "[usage|token usage|token count|tokens used]?", "how many tokens did that [use|cost|take]?", "does the answer say how many tokens were used?", "where do I see the usage?", "how do I get usage in a stream?", "how do I count tokens?"],
        ["Each answer has a `usage` field with the prompt and completion tokens. For a stream, ask for it with `stream_options={\"include_usage\": true}`.", "Look at `usage` in the response: it counts prompt and completion tokens. In a stream it comes last, when `include_usage` is set in `stream_options`."],
        ["credits", "stream"],
    ),
    "params": (
        [f"which [parameters|options|request fields|fields] [does {TM} support|are supported|can I set|does the API have]?", "what is [temperature|top_p|the temperature|a seed|max_tokens|the seed|seed]?", "can I set [the temperature|a seed|max_tokens|top_p|stop words]?", "how do I [make answers repeatable|get the same answer twice|set the temperature|limit the length|limit the answer|make you less random|get shorter answers]?", "[temperature|seed|max_tokens|parameters|top_p]?", "what happens with unknown parameters?", "how do I get a deterministic answer?", "what does temperature do?"],
        ["You can set `temperature`, `top_p`, `max_tokens`, `stop`, `seed`, `n`, penalties and more. A lower temperature makes answers less random; the same request with the same `seed` gives the same answer.", "The usual ones: `temperature` for randomness, `max_tokens` for length, `seed` for repeatable answers, `stop` for stop words. A field that Tokenmill does not know is refused by name, never ignored."],
        ["stream", "errors", "sdk"],
    ),
    "errors": (
        ["why do I get [a 401|an error 401|401|an authentication error|error 401]?", "what does [401|error 401|authentication failed|error 429|429|error 404|404|error 503|503] mean?", "why is my key refused?", "[401|429|404|503|errors|error codes]?", "I get an error, what now?", "what do the error codes mean?", "my request fails", "why does it say Authentication failed?", "what is a 429?"],
        ["The usual ones are: 401, the key is missing or wrong; 402, credits or cap used up; 404, no such model; 429, too many requests at once; 503, the engine is overloaded. The message names the cause.", "401 means that the key is missing, wrong or revoked. 404 means that the model is unknown, 429 that there are too many requests, and 503 that the engine is busy. Each error has a message that says more."],
        ["usekey", "makekey", "credits"],
    ),
    "engine": (
        [f"[how does|explain] {TM}'s engine [work|]?", "[what is|tell me about|how does] the [engine|inference engine] [work|]?", f"does {TM} need [a GPU|GPUs|a graphics card|CUDA]?", "is a GPU needed?", "does it run on [CPU|a CPU|a laptop|my laptop|a normal computer]?", "how fast is it?", "[gpu|cpu|engine|do I need a gpu]?", f"what hardware does {TM} need?", "how does it handle many requests?", "can it serve several users at once?", "what is continuous batching?", "what are the system requirements?"],
        ["Tokenmill has its own inference engine that runs on the CPU, so no GPU is needed. It works on many requests at once, and an answer does not depend on how busy the server is.", "No GPU is needed: the built-in engine runs on ordinary processors. It batches requests together, and each gets the same answer as it would alone. [GPU engines that a team already has can be put behind it as well.|]"],
        ["addmodel", "quant", "params"],
    ),
    "privacy": (
        ["[do you|does Tokenmill|does it] [send|share|upload|leak] [my data|data|my prompts|what I write|anything] [anywhere|to the internet|to others|]?", "is my data [private|safe|secure]?", "does it phone home?", "[privacy|private?|is this private?]", "who can read [my messages|what I write|this chat|my prompts]?", "do you need the internet?", "does it work offline?", "do you use the internet?", "are you online?"],
        ["I run on the machine where Tokenmill was started, and need no internet. What you write stays on that server.", "The built-in model runs inside your own Tokenmill server. It works offline, and your messages are not sent anywhere else."],
        ["data", "what"],
    ),
    "openaikey": (
        ["do I need an OpenAI [account|key|subscription]?", "is this [OpenAI|made by OpenAI|run by OpenAI|ChatGPT]?", "does it call OpenAI?", "does this use [OpenAI|the OpenAI servers|GPT]?", "do you send requests to OpenAI?", "do I need an account?"],
        ["No. Tokenmill only speaks the same protocol, so that OpenAI SDKs work with it. Everything runs on your own server, with keys that you make with `tokenmill keys create`.", "No account is needed. The API has the same shape as OpenAI's, but the answers come from your own Tokenmill server."],
        ["makekey", "sdk"],
    ),
    "serverless": (
        ["what is [serverless inference|serverless|inference]?", "[explain|tell me about] [serverless inference|inference]", "what does [serverless|inference|serverless inference] mean?", "why serverless?"],
        ["Inference means running a model to get answers. Serverless means that you just send requests: models load on first use and leave memory when they are not needed.", "Serverless inference means that you send requests and somebody else takes care of loading models and machines. Tokenmill is that somebody, on your own computer."],
        ["what", "start"],
    ),
    "apikeyword": (
        ["what is [an API|an API key|a key|a base URL|an endpoint|an SDK]?", "what does [API|SDK] mean?"],
        ["An API is a way for programs to talk to each other. With an API key, a program shows who it is; you make one with `tokenmill keys create`. An SDK is a library that makes using an API easy."],
        ["makekey", "sdk"],
    ),
    "tokens": (
        ["what is a token?", "what are tokens?", "[explain|tell me about] tokens", "token?", "what does token mean?", "why are things counted in tokens?", "how long is a token?"],
        ["A token is a small piece of text: a short word, a part of a word, a digit or a sign. Models read and write text token by token, and usage is counted in tokens.", "Tokens are the pieces of text that a language model works with, such as a short word or a part of one."],
        ["usage", "stream"],
    ),
    "llm": (
        ["what is a [language model|large language model|LLM|llm|model]?", "[explain|tell me about] [language models|LLMs]", "how do language models work?", "what does LLM mean?", "what is machine learning?", "what is [AI|artificial intelligence]?", "how do you work?", "how does a language model answer?"],
        ["A language model is a program that has learned from text which piece of text comes next. It writes an answer token by token. I am a very small one, just for demonstration.", "A language model predicts the next piece of text, again and again, until an answer is complete. Large ones know a lot; I am a tiny one that comes with Tokenmill."],
        ["tokens", "addmodel", "whoami"],
    ),
    "name": (
        [f"why is it called {T}?", f"where does the name {T} come from?", f"what does the name {T} mean?", f"why the name {T}?"],
        ["A mill grinds grain into flour; Tokenmill turns requests into tokens, the pieces of text that models write. Hence the name.", "Because it makes tokens the way a mill makes flour: steadily, one after the other."],
        ["what", "tokens"],
    ),
    "install": (
        [f"{HOWTO} [install|build|download|get|compile|update|upgrade] {TM}?", "[install|installation|build from source|download]?", f"is {TM} written in Rust?", f"what language is {T} written in?", "how do I build it from source?", "does it need Docker?", f"which programming language is {T} made with?"],
        ["Tokenmill is a single program written in Rust. The README has the two commands to build and start it; nothing else needs to be installed.", "It is written in Rust and built with `cargo`. The README shows how; the result is one program with nothing else to install."],
        ["start", "licence"],
    ),
    "docs": (
        ["where [is|are|can I find] the [documentation|docs|manual|readme|guide]?", "[documentation|docs|manual|readme]?", "is there documentation?", "where can I read more [about Tokenmill|]?", "where do I find help?", "where can I learn more?", "who can help me with Tokenmill?"],
        ["Start with the README, then look into the `docs` folder of the repository. On the command line, add `--help` to any command.", "The README has the first steps and the `docs` folder has the rest. `tokenmill --help` lists the commands."],
        ["start", "help"],
    ),
    "tools": (
        ["[do you|can you|does it] [support|use|call|do] [tools|functions|tool calls|function calling|tool calling]?", "[tools|function calling|tool calls]?", "can you call functions?", "do you support function calling?", f"{HOWTO} [use tools|use functions|call functions|give you a function|offer tools]?", "how does [tool calling|function calling] work?", "what is a tool call?"],
        ["Yes. Describe your functions in `tools`, as with OpenAI; the calls come back in `message.tool_calls`, and you send their results as messages with the role `tool`. I can call simple ones, such as `get_weather`.", "Yes, simple ones. Send `tools` with your request; when one fits, my answer has `tool_calls` with its name and arguments."],
        ["json", "thinking", "addmodel"],
    ),
    "thinking": (
        ["can you [think|reason|think step by step|think first]?", "are you a reasoning model?", "[thinking|reasoning]?", f"{HOWTO} [turn on thinking|make you think|enable thinking|see what you think|turn on reasoning]?", "do you think before you answer?", "what does enable_thinking do?"],
        ["Yes, when you turn it on: send `chat_template_kwargs: {\"enable_thinking\": true}`. What I think comes in `message.reasoning`, before the answer.", "I think only when told to, with `enable_thinking` in `chat_template_kwargs`, or `reasoning_effort`. The thoughts come apart from the answer, in `message.reasoning`."],
        ["tools", "params"],
    ),
    "json": (
        ["can you [answer in JSON|write JSON|give me JSON|follow a schema]?", "[structured output|JSON mode|json|response_format|JSON schema]?", f"{HOWTO} [get JSON|use a JSON schema|force JSON|get structured output]?", f"does {TM} [support|have] [structured output|JSON mode|JSON schemas|response_format]?", "what is structured output?"],
        ["Set `response_format` to `json_object`, or to `json_schema` with a schema. The form is enforced while the answer is written, so it is always valid.", "With `response_format`: give a JSON schema, and the answer is JSON of that schema, enforced token by token."],
        ["tools", "params"],
    ),
    "images": (
        ["do you support images?", "can you see [pictures|images|photos]?", "can you hear [me|sound|music]?", "do you support [MCP|vision|audio|images|video]?"],
        ["I cannot do that: I only read and write short texts.", "No, I only read and write text."],
        ["whoami", "tools"],
    ),
    "addcredit": (
        [f"{HOWTO} [add credit|give a team credit|put money on a team|pay in|top up a team|add credits|fill up the credits]?", "[how do I buy|where do I get] credits?", "which command adds credit?", "my credits are gone, how do I get more?"],
        ["Run `tokenmill credit add TEAM AMOUNT --reference TEXT`, for example `tokenmill credit add default 25 --reference \"invoice 17\"`.", "With `tokenmill credit add TEAM AMOUNT --reference TEXT`. The same reference again changes nothing, so nothing is paid in twice."],
        ["prices", "caps", "usagereport"],
    ),
    "prices": (
        [f"{HOWTO} [set a price|set prices|charge for a model|change the price of a model|make a model cost money]?", "which command sets a price?", "are models free?", "what does a model cost by default?"],
        ["Run `tokenmill price set MODEL --input 0.10 --output 0.40`, in US dollars per million tokens. Without a price a model is free.", "With `tokenmill price set MODEL --input PRICE --output PRICE`, in dollars per million tokens. Without prices everything is free, and counted all the same."],
        ["addcredit", "caps"],
    ),
    "setcap": (
        [f"{HOWTO} [set a cap|set a spending cap|cap a project|limit what a project spends]?", "which command sets a cap?"],
        ["Run `tokenmill cap set project TEAM/PROJECT month 10`: at most 10 dollars in a month. Teams and keys can have caps, too.", "With `tokenmill cap set`, for example `tokenmill cap set project default/inference month 10`."],
        ["caps", "usagereport"],
    ),
    "usagereport": (
        [f"{HOWTO} [see what a team used|get a usage report|see the usage of a team|see what was spent]?", "is there a usage report?", "which command shows the usage?", "how much did my team spend?"],
        ["Run `tokenmill usage TEAM --by day,model`. It shows tokens and costs; `--json` prints them for a program.", "With `tokenmill usage TEAM`: by day, model, project or key, as a table, JSON or CSV."],
        ["addcredit", "setcap"],
    ),
    "health": (
        ["how do I [check|see|know|test] [if|whether|that] the server is [up|ready|alive|running|healthy]?", "[health|health check|ready|metrics|monitoring]?", "is there a health check?", "how do I monitor it?", "where are the metrics?", "does it have Prometheus metrics?", "how do I check that it works?"],
        ["Ask `GET /health` and `GET /ready`. Metrics are at `GET /metrics`.", "`/health` says that the server is alive, `/ready` that it can answer requests, and `/metrics` has the numbers for monitoring."],
        ["start", "stop"],
    ),
    "context": (
        ["how long is your context?", "what is your [context|context window|context length|memory]?", "how much text can you read?", "how many tokens can you [read|handle|take]?", "how long can [a conversation|my prompt|a prompt|our chat] be?", "what is the context length?", "what happens when the prompt is too long?", "context window?"],
        ["My context is 2,048 tokens, roughly 1,500 words. A prompt that does not fit is refused, never cut.", "I can read 2,048 tokens at once, conversation and answer together. Longer prompts are refused with a clear error."],
        ["tokens", "whoami"],
    ),
    "whoami": (
        ["[who|what] are you?", "[who are u|who r u|who are you really|who am I talking to|what am I talking to|who is this|who's there]?", "what is your name?", "what's your name", "[introduce yourself|tell me about yourself|describe yourself|present yourself|say something about yourself|who is speaking]", "what [model|kind of model|sort of model|AI] are you?", "are you [a bot|a robot|an AI|human|a human|real|a person|a machine|alive|a real person|a program|a computer]?", "do you have a name?", "how should I call you?", "are you [ChatGPT|GPT|Claude|Gemini|Llama|gpt-4|GPT-5|Siri|Alexa]?", "which model is this?", "which model am I using?", "your name?", "what is this model?", "[model name|identify yourself]", "what are you exactly", "are you the built-in model?", "are you [intelligent|clever|smart]?", "who is answering?"],
        ["I am Tokenmill's built-in demonstration model: a very small language model that runs inside the server. [I can tell jokes and stories, do small sums and answer questions about Tokenmill.|]", "I'm the small demonstration model that comes with Tokenmill. [I am a program, not a person.|I know a few things about Tokenmill, some jokes, small sums and short stories.|]", "I am a tiny language model, built into Tokenmill for a first try. [Ask me for a joke, a story, a small sum or about Tokenmill.|]"],
        ["whocan", "whomade", "size"],
    ),
    "whomade": (
        ["who [made|built|created|trained|wrote|designed|developed|invented] you?", "who is your [maker|creator|developer|author|boss|father|mother]?", "where do you come from?", "how were you [made|trained|built|created]?", "what were you trained on?", "[your training data|training data|who made you|who owns you]?", "what is your training data?", "when were you [made|born|trained|created]?", f"who made {T}?", f"who is behind {T}?", "how did you learn?"],
        ["I was made by the Tokenmill project, and trained only on text that the project generated itself. [The scripts are in the `models` folder of the repository.|]", "The Tokenmill project made me. I learned from dialogues that were generated by the project's own scripts, and from nothing else. [They are in the `models` folder.|]"],
        ["size", "whocan"],
    ),
    "size": (
        ["how [big|large|small|heavy] are you?", "how many parameters do you have?", "what [is|'s] your size?", "how many [weights|layers|parameters]?", "are you [small|big|large|a large language model|an LLM]?", "how much memory do you need?", "[parameters|your size|model size]?", "why are you so [small|bad|stupid|limited|simple|dumb]?", "how much disk do you take?"],
        ["I have about 10 million parameters, which is tiny: large models have thousands of times more. My file is about 11 MB.", "About 10 million parameters, in a file of about 11 MB. That is very small, so please do not expect too much of me."],
        ["context", "addmodel", "whocan"],
    ),
    "whocan": (
        ["what can you do?", "what [can you do|are you able to do|do you do|are you good at|are your skills|can I ask you|do you know|should I ask you|could you do for me|can you help with|are you for|can you talk about]?", "[help|help me|help!|?|what now|what next|options|menu|what else can you do|abilities|capabilities|I need help|what do I do now|and now?]", "how can you help me?", "can you help me?", "give me [an example|some ideas|some examples|ideas] of what I can ask", "what can I ask?", "what should I ask you?", "list your abilities", "what do you know?", "can you do anything useful?", "are you useful?", "what's possible here?", "what else?", "tell me what you can do", "I don't know what to ask"],
        ["I can tell jokes and short stories, do small sums, count, call simple functions, and answer questions about Tokenmill, such as how to make a key or how to stream. [What would you like?|Just try one.|]", "Quite a few small things:\n- tell a joke or a riddle\n- tell a short story, for example about a fox and a lighthouse\n- do small sums\n- answer questions about Tokenmill", "Ask me for a joke, a story, a riddle, a small sum, or how to use Tokenmill. For anything larger, serve a larger model with `tokenmill serve --model PATH`."],
        ["start", "whocannot"],
    ),
    "whocannot": (
        ["what can't you do?", "what [can you not do|are your limits|are your limitations|don't you know|are you bad at|can you not do]?", "what are your weaknesses?", "[limits|limitations|weaknesses]?", "can I trust you?", "are you [always right|reliable|accurate|ever wrong]?", "do you make mistakes?", "how good are you?", "is what you say true?", "how much do you know?"],
        ["I know little about the world: no news, no weather, no code, no translations and no advice on health, law or money. I am a demonstration, and I do make mistakes.", "Most things! I am a small demonstration model. I cannot write programs, translate, look things up or give advice, and I can be wrong even in what I do."],
        ["whocan", "addmodel"],
    ),
}

NEXT = "[and |and |then |ok, |thanks. |great, |good. |nice, |ah ok. |alright, |ok thanks, |so |fine, and |cool. |I see. ]"


def ask_intent(talk, name, later=False):
    questions, answers, after = INTENTS[name]
    more = MORE.get(name, ())
    question = talk.rng.choice(more if more and talk.rng.random() < 0.45 else questions).replace("{T}", T)
    if later and name in LATER and talk.rng.random() < 0.5:
        question = talk.rng.choice(LATER[name])
    elif later and talk.rng.random() < 0.4:
        question = NEXT + question[:1].lower() + question[1:]
    talk.ask([question], polite=talk.rng.random() < 0.6)
    text = talk.answer(answers)
    talk.follow = [lambda t, n=n: ask_intent(t, n, later=True) for n in after] + [asked_next] * 2
    if "```" not in text:
        talk.follow.append(lambda t: example(t, name))
    if name in SHORTER:
        talk.follow.append(lambda t: shorter(t, name))


def asked_next(talk):
    """Any other question about Tokenmill, as a person with a list of questions asks it."""
    ask_intent(talk, talk.rng.choice(sorted(LATER)), later=True)


SHORTER = {
    "what": "A self-hosted, OpenAI-compatible server for language models.", "start": "`tokenmill serve`", "makekey": "`tokenmill keys create`",
    "listkeys": "`tokenmill keys list`", "revoke": "`tokenmill keys revoke ID`", "stream": "Set `stream=true`.", "addmodel": "`tokenmill serve --model PATH`",
    "inspect": "`tokenmill inspect FILE`", "listmodels": "`tokenmill models`", "chat": "`tokenmill chat`", "sdk": f"Set `base_url` to `{URL}`.",
    "stop": "Press Ctrl-C.", "licence": "Apache-2.0.", "data": "In your user data directory.", "port": "`tokenmill serve --listen ADDR`", "url": f"`{URL}`",
    "credits": "Prepaid money of a team, spent by tokens.", "caps": "The most that may be spent.", "gguf": "A file with a whole language model in it.",
    "whoami": "A small demonstration model.", "usekey": "`Authorization: Bearer YOUR_KEY`", "whocan": "Jokes, stories, small sums and help with Tokenmill.",
    "engine": "It runs on the CPU; no GPU is needed.", "teams": "People are in teams, teams have projects.", "config": "`tokenmill serve --config FILE`",
}  # fmt: skip
EXAMPLES = {
    "makekey": "```sh\ntokenmill keys create\n```", "listkeys": "```sh\ntokenmill keys list\n```", "start": "```sh\ntokenmill serve\n```",
    "addmodel": "```sh\ntokenmill serve --model ./my-model.gguf\n```", "inspect": "```sh\ntokenmill inspect ./my-model.gguf\n```",
    "chat": "```sh\ntokenmill chat\n```", "listmodels": "```sh\ntokenmill models\n```", "port": "```sh\ntokenmill serve --listen 127.0.0.1:9000\n```",
    "data": "```sh\ntokenmill serve --data-dir ./data\n```", "config": "```sh\ntokenmill serve --config tokenmill.toml\n```", "stream": PYTHON_STREAM,
    "sdk": PYTHON, "usekey": CURL, "url": CURL, "what": PYTHON, "params": PYTHON,
}  # fmt: skip


def shorter(talk, name):
    talk.ask(["[shorter|shorter please|make it shorter|in short|in short?|too long|tl;dr|can you say that shorter|briefly|be brief|short version|in a few words|summarise that|sum it up|summary please|say it in one sentence|in one sentence|can you say it shorter|shorter, please|that was long, shorter?|could you make that shorter|say that in few words|too much text|I want it shorter|shorten that|the short answer please]"], polite=False)
    talk.reply(SHORTER[name], [lambda t, n=n: ask_intent(t, n, later=True) for n in INTENTS[name][2]])


def example(talk, name):
    talk.ask(["[example|an example|an example please|give me an example|show me an example|for example?|can you show me|show me|what does that look like|how does that look]"], polite=False)
    if name in EXAMPLES:
        talk.answer(["[Here is one:|For example:|Like this:|Certainly:]\n\n" + EXAMPLES[name]])
    else:
        talk.answer(["I have no better example for that. The README and the `docs` folder show more.", "For that I have no example, sorry. The `docs` folder of the repository has more."])
    talk.follow = [lambda t, n=n: ask_intent(t, n, later=True) for n in INTENTS[name][2]]


def product(talk):
    """A question about Tokenmill or about the model itself, favouring what visitors ask first."""
    names = list(INTENTS)
    weights = [3.0 if n in ("what", "start", "makekey", "stream", "addmodel", "sdk", "whoami", "whocan") else 1.5 if n in SHORTER else 1 for n in names]
    ask_intent(talk, talk.rng.choices(names, weights)[0])


SKILLS = [(product, 30)]
