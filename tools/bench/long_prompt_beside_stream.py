#!/usr/bin/env python3
"""How long a stream waits for its next token while the server reads somebody else's long prompt.

    long_prompt_beside_stream.py --url http://127.0.0.1:8080/v1 --key KEY --model MODEL

Starts a stream, sends a long prompt when it flows, and prints what the stream's caller saw from then until the prompt's
first token: the median and the 99th percentile of the times between tokens, and how long the prompt took. Needs nothing
but Python. Words are drawn anew for each round, so no cache of prefixes helps.
"""

import argparse
import http.client
import json
import random
import statistics
import threading
import time
from urllib.parse import urlsplit

WORDS = "river stone lamp window cloud orange paper engine garden silver music winter table bridge ocean candle".split()


def stamps(args, prompt, max_tokens):
    """Yields the time of each chunk with text."""
    url = urlsplit(args.url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
    body = {
        "model": args.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {args.key}"}
    connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {response.read(500)!r}")
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        choices = json.loads(line[6:]).get("choices")
        if choices and choices[0].get("delta", {}).get("content"):
            yield time.perf_counter()


def words(n, seed):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(n))


def one_round(args, seed):
    """Gaps of the stream while the prompt was read, in ms, and how long that took, in s."""
    seen, flows, over = [], threading.Event(), threading.Event()

    def stream():
        for at in stamps(args, words(20, f"stream {seed}"), args.stream_tokens):
            seen.append(at)
            if len(seen) == 20:
                flows.set()
            if over.is_set():
                return

    thread = threading.Thread(target=stream)
    thread.start()
    if not flows.wait(120):
        raise SystemExit("the stream does not flow")
    begin = time.perf_counter()
    end = next(iter(stamps(args, words(args.prompt_words, f"prompt {seed}"), 1)))
    over.set()
    thread.join()
    # From the last token before the prompt to the first one after it: a stream that stood still shows it.
    first = max(i for i, at in enumerate(seen) if at <= begin)
    last = next((i for i, at in enumerate(seen) if at >= end), len(seen) - 1)
    gaps = [(b - a) * 1e3 for a, b in zip(seen[first:last], seen[first + 1 : last + 1])]
    return gaps, end - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--prompt-words", type=int, default=7800, help="about as many tokens")
    parser.add_argument("--stream-tokens", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    gaps, took = [], []
    for seed in range(args.rounds):
        of_round, seconds = one_round(args, seed)
        gaps += of_round
        took.append(seconds)
    gaps.sort()
    p99 = gaps[min(len(gaps) - 1, int(0.99 * len(gaps)))]
    print(
        f"{len(gaps)} times between tokens: p50 {statistics.median(gaps):.0f} ms, p99 {p99:.0f} ms, longest {gaps[-1]:.0f} ms; "
        f"the prompt took {statistics.median(took):.1f} s"
    )


if __name__ == "__main__":
    main()
