"""llama.cpp, built for this machine from the source that `llama-cpp-python` ships."""

import json
import tarfile
from pathlib import Path

from workloads import GENERATED, STREAM_DEPTH

NAME = "llama.cpp"
PACKAGE = "llama-cpp-python==0.3.36"
PROGRAMS = ["llama-bench", "llama-batched-bench", "llama-server", "llama-perplexity"]

# Which is best depends on format and workload: all are tried once, and the best of each is measured.
CONFIGURATIONS = {
    f"flash attention {flash}, repack {'on' if repack else 'off'}": (flash, repack)
    for flash in ("on", "off")
    for repack in (1, 0)
}


def install(folder, python, run):
    """Builds the programs under `folder`, once, and tells where they are."""
    source = folder / "llama.cpp"
    build = source / "build"
    if not all((build / "bin" / program).exists() for program in PROGRAMS):
        pip = [python, "-m", "pip"]
        run([*pip, "install", "-q", "cmake", "ninja"])
        run([*pip, "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "-d", folder, PACKAGE])
        archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        Path(str(archive).removesuffix(".tar.gz"), "vendor", "llama.cpp").rename(source)
        off = [f"-DLLAMA_{what}=OFF" for what in ("CURL", "OPENSSL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_WEBUI")]
        tools = Path(python).parent
        run(
            [tools / "cmake", "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"]
            + ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", *off]
        )
        run([tools / "ninja", "-C", build, *PROGRAMS])
    return build / "bin"


class Engine:
    """Each measurement is a process of its own, as ours is."""

    name = NAME
    configurations = list(CONFIGURATIONS)

    def __init__(self, programs, threads):
        self.programs = programs
        self.threads = threads

    def tokens_per_s(self, model, workload, configuration, output_of):
        flash, repack = CONFIGURATIONS[configuration]
        common = ["-m", model, "-t", self.threads, "-fa", flash]
        if workload.streams > 1:
            prompt = STREAM_DEPTH - GENERATED // 2
            context = workload.streams * (prompt + GENERATED) + 64
            shape = ["-npp", prompt, "-ntg", GENERATED, "-npl", workload.streams, "-c", context]
            shape += ["-tb", self.threads, *([] if repack else ["--no-repack"]), "--output-format", "jsonl"]
            out = output_of([self.programs / "llama-batched-bench", *common, *shape])
            return json.loads(next(line for line in out.splitlines() if line.startswith("{")))["speed_tg"]
        shape = ["-p", 0, "-n", GENERATED, "-d", workload.depth]
        if workload.kind == "prefill":
            shape = ["-p", workload.depth, "-n", 0]
        out = output_of([self.programs / "llama-bench", *common, *shape, "-r", 1, "--repack", repack, "-o", "json"])
        return json.loads(out)[0]["avg_ts"]
