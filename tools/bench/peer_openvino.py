"""OpenVINO GenAI, which reads the same GGUF file. Each measurement is a process of its own: `main` below."""

import json
import sys
import time

from workloads import GENERATED, Workload

NAME = "OpenVINO GenAI"
PACKAGES = ["openvino-genai==2026.4.1.0", "numpy"]

# Activations in bytes by groups of 32, or as the plugin decides.
CONFIGURATIONS = {"as shipped": {}, "dynamic quantisation by 32": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"}}


class Engine:
    name = NAME
    configurations = list(CONFIGURATIONS)

    def __init__(self, python, threads):
        self.python = python
        self.threads = threads

    def tokens_per_s(self, model, workload, configuration, output_of):
        job = {
            "model": str(model),
            "properties": {"INFERENCE_NUM_THREADS": self.threads, **CONFIGURATIONS[configuration]},
            "workload": vars(workload),
        }
        return json.loads(output_of([self.python, __file__, json.dumps(job)]).splitlines()[-1])


def main(job):
    import numpy as np
    import openvino
    import openvino_genai

    rng = np.random.default_rng(1)

    def prompt(n_tokens):
        return openvino.Tensor(rng.integers(1000, 50000, (1, n_tokens)).astype(np.int64))

    def exactly(n_tokens):
        wanted = openvino_genai.GenerationConfig()
        wanted.max_new_tokens = wanted.min_new_tokens = n_tokens
        wanted.ignore_eos, wanted.do_sample = True, False
        return wanted

    workload = Workload(**job["workload"])
    if workload.streams > 1:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = 2  # GB
        scheduler.max_num_seqs = workload.streams
        scheduler.max_num_batched_tokens = 512
        pipeline = openvino_genai.ContinuousBatchingPipeline(job["model"], scheduler, "CPU", job["properties"])
        before = workload.depth - GENERATED // 2
        handles = [
            pipeline.add_request(i, prompt(before), exactly(GENERATED)) for i in range(workload.streams)
        ]
        return together(pipeline, handles)
    pipeline = openvino_genai.LLMPipeline(job["model"], "CPU", **job["properties"])
    pipeline.generate(prompt(16), exactly(4))
    n_prompt = max(workload.depth, 16)
    metrics = pipeline.generate(prompt(n_prompt), exactly(GENERATED)).perf_metrics
    if workload.kind == "prefill":
        return n_prompt / metrics.get_ttft().mean * 1e3
    return 1e3 / metrics.get_tpot().mean


def together(pipeline, handles):
    """Tokens a second from when every stream has its first token until one has all."""
    counts = [0] * len(handles)

    def step():
        pipeline.step()
        for i, handle in enumerate(handles):
            while handle.can_read():
                counts[i] += sum(len(output.generated_ids) for output in handle.read().values())

    while min(counts) == 0:
        step()
    begin, had = time.perf_counter(), sum(counts)
    while max(counts) < GENERATED:
        step()
    return (sum(counts) - had) / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
