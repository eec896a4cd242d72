#!/usr/bin/env python3
"""Compare Tokenmill's engine with its peers on the same files, in turn: A B A B, medians of the rounds.

`cargo xtask bench peers MODEL.gguf …` builds what this needs and calls it. Each peer runs in its best configuration: all of
them are tried once for each workload, and the best is measured. Run it on a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
import time
import venv
from pathlib import Path

import peer_llama_cpp
import peer_mistralrs
import peer_openvino
import peer_tokenmill
import report
from workloads import Row, workloads

PEERS = {"llama.cpp": peer_llama_cpp, "openvino": peer_openvino, "mistralrs": peer_mistralrs}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"type": lambda text: [int(word) for word in text.split(",") if word]}
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--binary", required=True, type=Path, help="the program `tokenmill` to measure")
    parser.add_argument("--folder", required=True, type=Path, help="where peers are installed and results kept")
    parser.add_argument("--docs", type=Path, help="the folder of benchmarks.md, whose table is written anew")
    parser.add_argument("--peers", default="llama.cpp,openvino", help=f"some of {','.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", default=[512, 4096], **numbers)
    parser.add_argument("--depths", default=[0, 4096], **numbers)
    parser.add_argument("--streams", default=[4, 8, 16, 32], **numbers)
    parser.add_argument("--command", default="", help="what to name in the report as the command that was run")
    args = parser.parse_args()
    for model in args.models:  # where a file lies is nobody's business
        args.command = args.command.replace(str(model), model.name)
    return args


def output_of(command):
    """What a program prints, or the reason why it did not."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def run(command):
    subprocess.run([str(word) for word in command], check=True)


def engines(args):
    """Ours and the peers, installed under `args.folder`."""
    yield peer_tokenmill.Engine(args.binary, args.threads)
    for name in args.peers.split(","):
        module = PEERS[name]
        python = args.folder / f"venv-{name}" / "bin" / "python"
        if not python.exists():
            venv.create(python.parents[1], with_pip=True)
        if hasattr(module, "install"):
            yield module.Engine(module.install(args.folder, python, run), args.threads)
        else:
            run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *module.PACKAGES])
            yield module.Engine(python, args.threads)


def best_configuration(engine, model, workload):
    """The fastest configuration, or `None` and why where none can run this."""
    if len(engine.configurations) == 1:
        return engine.configurations[0]
    speeds = {}
    for configuration in engine.configurations:
        try:
            speeds[configuration] = engine.tokens_per_s(model, workload, configuration, output_of)
        except RuntimeError as fault:
            print(f"  {engine.name}, {configuration}: {fault}", file=sys.stderr)
    return max(speeds, key=speeds.get) if speeds else None


def measure(engine_list, model, workload, n_rounds):
    rows = [
        Row(model.stem, engine.name, workload, configuration, [])
        for engine in engine_list
        if (configuration := best_configuration(engine, model, workload))
    ]
    by_name = {engine.name: engine for engine in engine_list}
    for _ in range(n_rounds):
        for row in list(rows):
            try:
                speed = by_name[row.engine].tokens_per_s(model, workload, row.configuration, output_of)
            except RuntimeError as fault:
                print(f"  {row.engine}: {fault}", file=sys.stderr)
                rows.remove(row)
                continue
            row.rounds.append(speed)
    return rows


def main():
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    engine_list = list(engines(args))
    rows = []
    for model in args.models:
        for workload in workloads(args.prompts, args.depths, args.streams):
            found = measure(engine_list, model, workload, args.rounds)
            rows += found
            shown = "  ".join(f"{row.engine} {row.tokens_per_s:.1f} ({row.configuration})" for row in found)
            print(f"{time.strftime('%H:%M:%S')} {model.stem}, {workload}: {shown}", flush=True)
            (args.folder / "rows.json").write_text(
                json.dumps([{**vars(row), "workload": vars(row.workload)} for row in rows], indent=1)
            )
    peaks = engine_list[0].peaks
    text = report.markdown(rows, peaks, args)
    print(text)
    if args.docs:
        report.write(args.docs, text, rows)


if __name__ == "__main__":
    main()
