"""Answers the held-back prompts with the GGUF file and prints everything for reading.

    python evaluate.py tokenmill-demo.gguf [--temperature 0.6] [--seed 1] [--kind sum]

The expressions catch what a machine can judge; whether an answer is sensible is for a person to say.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from reference import Reference, Sampling

PROMPTS = Path(__file__).parent / "eval" / "prompts.jsonl"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind")
    parser.add_argument("--ask", nargs="+", help="a conversation of your own instead: user, assistant, user ...")
    options = parser.parse_args()
    model, rng = Reference(options.model), np.random.default_rng(options.seed)
    sampling = Sampling(temperature=options.temperature)
    if options.ask:
        messages = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(options.ask)]
        return print(model.answer(messages, sampling, rng))
    checked = passed = 0
    for line in PROMPTS.read_text().splitlines():
        prompt = json.loads(line)
        if options.kind and prompt["kind"] != options.kind:
            continue
        answer = model.answer(prompt["messages"], sampling, rng)
        mark = " "
        if prompt["check"]:
            good = re.search(prompt["check"], answer, re.S) is not None
            checked, passed, mark = checked + 1, passed + good, "+" if good else "-"
        said = " / ".join(m["content"][:60] for m in prompt["messages"] if m["role"] == "user")
        print(f"{mark} {prompt['id']:3} {prompt['kind']:7} {said}\n      > {answer}".replace("\n\n", "\n"))
    print(f"{passed} of {checked} checks passed")


if __name__ == "__main__":
    main()
