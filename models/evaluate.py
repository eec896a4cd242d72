"""Answers the held-back prompts with the GGUF file and prints everything for reading.

    python evaluate.py tokenmill-demo.gguf [--temperature 0.6] [--seed 1] [--jobs 2]

The expressions catch what a machine can judge; whether an answer is sensible is for a person to say.
"""

import argparse
import json
import multiprocessing
import re
from pathlib import Path

import numpy as np

from reference import Reference, Sampling

PROMPTS = Path(__file__).parent / "eval" / "prompts.jsonl"
MODELS = {}


def judged(job):
    """One prompt's answer, and whether it passes the check; the model is read once per process."""
    prompt, options = job
    model = MODELS.setdefault(options.model, None) or Reference(options.model)
    MODELS[options.model] = model
    rng = np.random.default_rng([options.seed, prompt["id"]])
    answer = model.answer(prompt["messages"], Sampling(temperature=options.temperature), rng)
    good = None if not prompt["check"] else re.search(prompt["check"], answer, re.S) is not None
    return prompt, answer, good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ask", nargs="+", help="a conversation of your own instead: user, assistant, user ...")
    options = parser.parse_args()
    if options.ask:
        messages = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(options.ask)]
        sampling, rng = Sampling(temperature=options.temperature), np.random.default_rng(options.seed)
        return print(Reference(options.model).answer(messages, sampling, rng))
    prompts = [json.loads(line) for line in options.prompts.read_text().splitlines()]
    checked = passed = 0
    with multiprocessing.Pool(options.jobs) as pool:
        for prompt, answer, good in pool.imap(judged, [(p, options) for p in prompts]):
            checked, passed = checked + (good is not None), passed + bool(good)
            mark = {None: " ", True: "+", False: "-"}[good]
            said = " / ".join(m["content"][:70] for m in prompt["messages"] if m["role"] == "user")
            print(f"{mark} {prompt['id']:3} {prompt['kind']:7} {said}\n      > {answer}".replace("\n\n", "\n"), flush=True)
    print(f"{passed} of {checked} checks passed")


if __name__ == "__main__":
    main()
