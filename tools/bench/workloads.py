"""What is measured, the same for every engine, and what comes of it."""

from dataclasses import dataclass
from statistics import median

STREAM_DEPTH = 128  # tokens before the generated ones, where several streams run together
GENERATED = 32  # tokens that each stream generates


@dataclass(frozen=True)
class Workload:
    """`prefill` reads a prompt of `depth` tokens; `decode` generates for each of `streams`, behind `depth` tokens."""

    kind: str
    streams: int
    depth: int

    def __str__(self):
        if self.kind == "prefill":
            return f"prompt of {self.depth:,}"
        if self.streams == 1:
            return f"1 stream at {self.depth:,}"
        return f"{self.streams} streams"


def workloads(prompts, depths, streams):
    return (
        [Workload("decode", 1, depth) for depth in depths]
        + [Workload("decode", n, STREAM_DEPTH) for n in streams]
        + [Workload("prefill", 1, n) for n in prompts]
    )


@dataclass
class Row:
    """One engine at one workload: the configuration that was its best, and tokens a second of each round."""

    model: str
    engine: str
    workload: Workload
    configuration: str
    rounds: list

    @property
    def tokens_per_s(self):
        return median(self.rounds)
