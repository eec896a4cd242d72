"""Tokenmill itself, by `tokenmill bench`."""

import json

from workloads import STREAM_DEPTH

NAME = "Tokenmill"


class Engine:
    name = NAME
    configurations = ["as shipped"]

    def __init__(self, binary, threads):
        self.binary = binary
        self.threads = threads
        self.peaks = []  # what each run measured as possible on the machine

    def tokens_per_s(self, model, workload, _configuration, output_of):
        lists = {"--prompts": "", "--depths": "", "--streams": ""}
        if workload.kind == "prefill":
            lists["--prompts"] = workload.depth
        elif workload.streams > 1:
            assert workload.depth == STREAM_DEPTH, workload
            lists["--streams"] = workload.streams
        else:
            lists["--depths"] = workload.depth
        flags = [f"{flag}={value}" for flag, value in lists.items()]
        answer = json.loads(
            output_of([self.binary, "bench", model, *flags, f"--threads={self.threads}", "--json"])
        )
        self.peaks.append({key: answer[key] for key in ("read_gb_s", "int8_gops", "f32_gflops")})
        return answer["rows"][0]["tokens_per_s"]
