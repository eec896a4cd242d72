"""mistral.rs, which reads the same GGUF file. Each measurement is a process of its own: `main` below."""

import json
import os
import random
import sys
import threading
from pathlib import Path

from workloads import GENERATED, Workload

NAME = "mistral.rs"
PACKAGES = ["mistralrs==0.9.5"]
WORDS = "time year people way day man thing woman life child world school state family group country".split()


class Engine:
    name = NAME
    configurations = ["as shipped"]

    def __init__(self, python, threads):
        self.python = python
        self.threads = threads

    def tokens_per_s(self, model, workload, _configuration, output_of):
        job = {"model": str(model), "workload": vars(workload)}
        command = ["env", f"RAYON_NUM_THREADS={self.threads}", self.python, __file__, json.dumps(job)]
        return json.loads(output_of(command).splitlines()[-1])


def main(job):
    import mistralrs

    workload = Workload(**job["workload"])
    path = Path(job["model"])
    which = mistralrs.Which.GGUF(quantized_model_id=str(path.parent), quantized_filename=path.name)
    runner = mistralrs.Runner(which=which, max_seqs=max(workload.streams, 2))

    def usage(n_words, n_tokens, seed):
        text = " ".join(random.Random(seed).choices(WORDS, k=n_words))
        wanted = mistralrs.CompletionRequest(model="", prompt=text, max_tokens=n_tokens, temperature=0.0)
        return runner.send_completion_request(wanted).usage

    n_words = max(workload.depth, 16)  # a word of the list is one token or two, which is counted below
    if workload.kind == "prefill":
        return usage(n_words, 2, 1).avg_prompt_tok_per_sec
    if workload.streams == 1:
        return usage(n_words, GENERATED, 1).avg_compl_tok_per_sec
    rates = []
    callers = [
        threading.Thread(target=lambda i=i: rates.append(usage(n_words, GENERATED, i).avg_compl_tok_per_sec))
        for i in range(workload.streams)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(rates)


if __name__ == "__main__":
    sys.stdout.flush()
    answer = main(json.loads(sys.argv[1]))
    print("\n" + json.dumps(answer), flush=True)
    os._exit(0)  # its threads do not end by themselves
