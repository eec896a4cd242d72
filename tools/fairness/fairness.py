"""How long a project with few requests waits for its first token, alone and while another project floods the engine.

    cargo build --release
    python3 tools/fairness/fairness.py target/release/tokenmill [MODEL.gguf]

Starts a server of its own. One project asks four times a second; then the other keeps 200 requests of the same kind in flight,
which is more than fifty times as much. Prompts are all different, so that nothing comes from the prefix cache. Needs nothing
but Python's standard library; the machine should do nothing else.
"""

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

WORDS = "stone river cloud paper lamp wheel garden bridge window clock harbour engine copper meadow signal thread".split()
PROMPT_WORDS = 60
TOKENS = 16
EVERY_S = 0.25
ALONE_S = 15
FLOOD_S = 22
FLOOD = 200


class Server:
    def __init__(self, binary, model):
        self.folder = tempfile.TemporaryDirectory()
        models = ["--model", f"tokenmill/demo={model}"] if model else []
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.folder.name, "--log-level", "warn"]
        limits = ["--max-in-flight", "1000", "--max-waiting", "1000"]
        self.process = subprocess.Popen(command + models + limits, stdout=subprocess.PIPE, text=True)
        found = {}
        while len(found) < 2:
            line = self.process.stdout.readline().strip()
            for name in ("Base URL", "API key"):
                if line.startswith(name):
                    found[name] = line.removeprefix(name).strip()
        self.host = found["Base URL"].removeprefix("http://").removesuffix("/v1")
        self.key = found["API key"]
        for project in ("light", "heavy"):
            subprocess.run(
                [binary, "project", "create", f"default/{project}", "--data-dir", self.folder.name],
                check=True, stdout=subprocess.DEVNULL,
            )

    def first_token_s(self, project, seed):
        """Asks, reads to the end, and gives the time until the first text."""
        words = random.Random(seed)
        text = " ".join(words.choice(WORDS) for _ in range(PROMPT_WORDS))
        body = {
            "model": "tokenmill/demo", "messages": [{"role": "user", "content": text}], "max_tokens": TOKENS,
            "stream": True, "ignore_eos": True,
        }
        headers = {
            "authorization": f"Bearer {self.key}", "content-type": "application/json",
            "openai-project": f"default/{project}",
        }
        connection = http.client.HTTPConnection(self.host, timeout=120)
        begun, first = time.monotonic(), None
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(answer.read())
        while piece := answer.read1():
            if first is None and b'"content":"' in piece.replace(b'"content":""', b""):
                first = time.monotonic() - begun
        connection.close()
        return first if first is not None else time.monotonic() - begun


def light(server, seconds, seed):
    """First-token times of the light project, asked at fixed moments."""
    times, threads, begun = [], [], time.monotonic()
    for number in range(int(seconds / EVERY_S)):
        time.sleep(max(0.0, begun + number * EVERY_S - time.monotonic()))
        ask = lambda number=number: times.append(server.first_token_s("light", f"{seed}-{number}"))
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return sorted(times)


def flood(server, is_over, done, name):
    number = 0
    while not is_over.is_set():
        server.first_token_s("heavy", f"{name}-{number}")
        number += 1
        done.append(1)


def told(what, times):
    part = lambda p: 1e3 * times[min(len(times) - 1, int(p * len(times)))]
    print(
        f"{what}: {len(times)} requests, time to the first token p50 {part(0.5):.1f} ms, p90 {part(0.9):.1f} ms, "
        f"p99 {part(0.99):.1f} ms, mean {1e3 * statistics.fmean(times):.1f} ms",
        flush=True,
    )
    return part(0.99)


def main():
    server = Server(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    try:
        light(server, 2, "warm")
        alone = told("alone", light(server, ALONE_S, "alone"))
        is_over, done = threading.Event(), []
        floods = [threading.Thread(target=flood, args=(server, is_over, done, n), daemon=True) for n in range(FLOOD)]
        for thread in floods:
            thread.start()
        time.sleep(3)
        before = len(done)
        beside = told(f"beside {FLOOD} in flight", light(server, FLOOD_S, "beside"))
        rate = (len(done) - before) / FLOOD_S
        print(f"the other project had {rate:.0f} requests/s done, this one asked {1 / EVERY_S:.0f}; p99 is {beside / alone:.2f} times that alone")
        is_over.set()
    finally:
        server.process.kill()


if __name__ == "__main__":
    main()
