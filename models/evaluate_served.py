"""Asks a running Tokenmill the held-back prompts for functions, forms and thinking, and judges the answers.

    tokenmill serve --model tokenmill/demo=FILE
    python evaluate_served.py --key KEY [--url http://127.0.0.1:8080/v1] [--temperature 0] [--prompts eval/prompts.jsonl]

Calls and JSON must be equal to what is expected (letter case aside), texts and thoughts match an expression. An answer that passes may
still be poor, so all of them are printed for reading.
"""

import argparse
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

PROMPTS = Path(__file__).parent / "eval" / "tools-prompts.jsonl"


def ask(options, prompt):
    """The server's message."""
    body = {"model": options.model, "messages": prompt["messages"], "max_tokens": 400, "seed": options.seed, **prompt.get("request", {})}
    if options.temperature is not None:
        body["temperature"] = options.temperature
    headers = {"Authorization": f"Bearer {options.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{options.url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"prompt {prompt['id']}: {error.code} {error.read().decode()}") from error


def folded(value):
    """The value without upper case, which a person types or not."""
    return json.loads(json.dumps(value, sort_keys=True).lower())


def calls_of(message):
    made = message.get("tool_calls") or []
    return [{"name": call["function"]["name"], "arguments": arguments(call["function"]["arguments"])} for call in made]


def arguments(text):
    """The object, or the text where a limit cut it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def fault(message, expect):
    """What is wrong with the answer, or None."""
    text, thought = message.get("content") or "", message.get("reasoning") or ""
    if "calls" in expect and folded(calls_of(message)) != folded(expect["calls"]):
        return f"expected {json.dumps(expect['calls'])}"
    if "calls" not in expect and calls_of(message):
        return "expected no call"
    if "text" in expect and not re.search(expect["text"], text, re.S):
        return f"expected {expect['text']}"
    if "reasoning" in expect and not re.search(expect["reasoning"], thought, re.S):
        return f"expected thinking of {expect['reasoning']}"
    if "json" in expect:
        try:
            same = folded(json.loads(text)) == folded(expect["json"])
        except ValueError:
            same = False
        return None if same else f"expected {json.dumps(expect['json'])}"
    return None


def shown(message):
    parts = [("thinks", message.get("reasoning")), ("calls", json.dumps(calls_of(message))), ("says", message.get("content"))]
    return " ".join(f"{name}: {part}" for name, part in parts if part and part != "[]")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--model", default="tokenmill/demo")
    parser.add_argument("--temperature", type=float, help="left out: the model's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    options = parser.parse_args()
    prompts = [json.loads(line) for line in options.prompts.read_text().splitlines()]
    passed = 0
    for prompt in prompts:
        message = ask(options, prompt)
        wrong = fault(message, prompt.get("expect") or {"text": prompt["check"]})
        passed += wrong is None
        print(f"{'-' if wrong else '+'} {prompt['id']:3} {prompt['kind']:7} {prompt['messages'][-1]['content']}\n      > {shown(message)}", flush=True)
        if wrong:
            print(f"      ! {wrong}", flush=True)
    print(f"{passed} of {len(prompts)} passed")


if __name__ == "__main__":
    main()
