"""What a grammar costs: tokens per second of a batch, free and held to a form, in turns.

    cargo build --release --bin tokenmill
    python3 tools/constrained/cost.py target/release/tokenmill [FILE.gguf]

Standard library only. Each request asks for the same number of tokens with `ignore_eos`; requests that run out of form
before that are told of, for then the rates are of different work.
"""

import argparse
import concurrent.futures
import json
import statistics
import subprocess
import tempfile
import time
import urllib.request

LETTERS = {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{3,12}$"}, "minItems": 10_000}
RECORDS = {
    "type": "array",
    "minItems": 10_000,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    },
}
FORMS = {
    "free": {},
    "regex": {"structured_outputs": {"regex": "[a-zA-Z0-9 ,.]{9000}"}},
    "schema, strings": {"structured_outputs": {"json": LETTERS}},
    "schema, records": {"structured_outputs": {"json": RECORDS}},
}


def start(binary, model, data_dir):
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir, "--log-level", "warn"]
    command += ["--model", model] if model else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = {}
    for line in process.stdout:
        for name in ("Base URL", "API key"):
            if line.strip().startswith(name):
                found[name] = line.strip().removeprefix(name).strip()
        if len(found) == 2:
            return process, found["Base URL"], found["API key"]
    raise SystemExit(f"the server ended with {process.wait()}")


def call(url, key, body=None):
    data = json.dumps(body).encode() if body else None
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=300) as response:
        return json.load(response)


def rate(url, key, model, form, seed, args):
    """Tokens per second of one batch, from the first byte sent to the last one read."""
    body = {
        "model": model, "messages": [{"role": "user", "content": "Write."}], "ignore_eos": True,
        "max_tokens": args.tokens, "temperature": 0.8, **FORMS[form],
    }  # fmt: skip
    bodies = [{**body, "seed": seed * args.batch + idx} for idx in range(args.batch)]
    with concurrent.futures.ThreadPoolExecutor(args.batch) as pool:
        begin = time.perf_counter()
        answers = list(pool.map(lambda body: call(f"{url}/chat/completions", key, body), bodies))
        took = time.perf_counter() - begin
    n_tokens = sum(answer["usage"]["completion_tokens"] for answer in answers)
    if n_tokens != args.batch * args.tokens:
        print(f"  {form}: {n_tokens} tokens of {args.batch * args.tokens}")
    return n_tokens / took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as data_dir:
        process, url, key = start(args.binary, args.model, data_dir)
        try:
            model = call(f"{url}/models", key)["data"][0]["id"]
            rates = {form: [] for form in FORMS}
            for form in FORMS:  # Compiles grammars and loads the model; not counted.
                rate(url, key, model, form, 0, argparse.Namespace(batch=1, tokens=8))
            for turn in range(1, args.rounds + 1):
                for form in FORMS:
                    rates[form].append(rate(url, key, model, form, turn, args))
        finally:
            process.terminate()
            process.wait()
    free = statistics.median(rates["free"])
    print(f"{model}, batch {args.batch}, {args.tokens} tokens each, {args.rounds} rounds in turns, medians")
    for form, found in rates.items():
        median = statistics.median(found)
        spread = f"{min(found):.0f} to {max(found):.0f}"
        print(f"| {form} | {median:.0f} | {spread} | {100 * (1 - median / free):+.1f} % |")


if __name__ == "__main__":
    main()
