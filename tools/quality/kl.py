"""Measures the divergence of quantised models from F32, in Tokenmill and in llama.cpp. See README.md."""

import argparse
import ctypes
import pathlib
import random
import subprocess
import sys

import gguf
import llama_cpp
import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "models"))
from corpus import mix  # noqa: E402

WINDOW = 512
# By the names of llama.cpp's file types; the second set needs rows of whole super-blocks.
PLAIN = {"F16": 1, "BF16": 32, "Q8_0": 7, "Q5_1": 9, "Q5_0": 8, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "MXFP4": 38, "NVFP4": 39}
SUPER = {"Q6_K": 18, "Q5_K": 16, "Q4_K": 14, "IQ4_XS": 30, "Q3_K": 11, "Q2_K": 10}


def copy_gguf(source: pathlib.Path, target: pathlib.Path, widen: bool) -> None:
    """The model in F32, perhaps widened to whole super-blocks."""
    reader = gguf.GGUFReader(source)
    value = lambda key: reader.fields[key].contents()  # noqa: E731
    architecture = value("general.architecture")
    key = lambda name: f"{architecture}.{name}"  # noqa: E731
    width, n_ff = value(key("embedding_length")), value(key("feed_forward_length"))
    n_heads, n_kv, head_dim = (value(key(f"attention.{name}")) for name in ("head_count", "head_count_kv", "key_length"))
    group = n_heads // n_kv
    up = lambda n: -(-n // 256) * 256  # noqa: E731
    wide_group = next(g for g in range(group, 65) if g * n_kv * head_dim % 256 == 0)
    changed = {}
    if widen:
        changed = {
            key("embedding_length"): up(width), key("feed_forward_length"): up(n_ff), key("attention.head_count"): wide_group * n_kv,
            key("attention.layer_norm_rms_epsilon"): value(key("attention.layer_norm_rms_epsilon")) * width / up(width),
        }
    writer = gguf.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, changed.get(name, field.contents()), field.types[0], sub_type)
    for tensor in reader.tensors:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(tensor.shape[::-1].tolist())
        if widen:
            data = widened(tensor.name, data, width, n_ff, up, (n_kv, group, wide_group, head_dim))
        writer.add_tensor(tensor.name, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def widened(name, data, width, n_ff, up, heads):
    """Zeros for what is new. A norm over more numbers has a smaller mean, which its weights undo."""
    n_kv, group, wide_group, head_dim = heads
    if name.endswith(("attn_norm.weight", "ffn_norm.weight", "output_norm.weight")):
        return np.pad(data * np.sqrt(np.float32(width / up(width))), (0, up(width) - width))
    if data.ndim == 1:
        return data
    kind = name.split(".")[-2]
    if kind in ("attn_q", "attn_output"):
        rows = data if kind == "attn_q" else data.T
        rows = rows.reshape(n_kv, group, head_dim, rows.shape[1])
        rows = np.pad(rows, ((0, 0), (0, wide_group - group), (0, 0), (0, up(width) - width)))
        rows = rows.reshape(-1, up(width))
        return rows if kind == "attn_q" else rows.T
    new = {"ffn_down": (up(width), up(n_ff)), "ffn_gate": (up(n_ff), up(width)), "ffn_up": (up(n_ff), up(width))}
    new = new.get(kind, (data.shape[0], up(width)))
    return np.pad(data, ((0, new[0] - data.shape[0]), (0, new[1] - data.shape[1])))


def quantise(source: pathlib.Path, target: pathlib.Path, file_type: int) -> bool:
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.pure, params.nthread = file_type, True, 1
    return llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) == 0


class Llama:
    def __init__(self, path: pathlib.Path, exact: bool, flash: int) -> None:
        model_params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_load_model_from_file(str(path).encode(), model_params)
        if not self.model:
            raise ValueError(f"llama.cpp does not load {path}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = WINDOW
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = flash
        if exact:
            params.type_k = params.type_v = 0
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)

    def close(self) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def tokens(self, text: str) -> list[int]:
        raw = text.encode()
        room = (llama_cpp.llama_token * (len(raw) + 8))()
        n = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), room, len(room), False, True)
        return list(room[:n])

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        out = []
        batch = llama_cpp.llama_batch_init(WINDOW, 0, 1)
        for window in tokens.reshape(-1, WINDOW):
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
            batch.n_tokens = WINDOW
            for i, token in enumerate(window):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), i, 1, 1
                batch.seq_id[i][0] = 0
            if llama_cpp.llama_decode(self.context, batch) != 0:
                raise RuntimeError("llama_decode failed")
            logits = llama_cpp.llama_get_logits(self.context)
            out.append(np.ctypeslib.as_array(logits, (WINDOW, self.n_vocab)).copy())
        llama_cpp.llama_batch_free(batch)
        return np.concatenate(out)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    x = logits.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def divergence(reference: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of each position."""
    p, q = log_softmax(reference), log_softmax(logits)
    return (np.exp(p) * (p - q)).sum(-1)


def ours(program: str, model: pathlib.Path, tokens: pathlib.Path, work: pathlib.Path, n_vocab: int, kv: str) -> np.ndarray:
    out = work / "logits.bin"
    subprocess.run([program, str(model), str(tokens), str(out), str(WINDOW), kv], check=True)
    return np.fromfile(out, "<f4").reshape(-1, n_vocab)


def weight_error(reference: pathlib.Path, path: pathlib.Path) -> float:
    """Root mean square error of the matrices, against the root mean square of their weights."""
    exact = {t.name: t for t in gguf.GGUFReader(reference).tensors}
    error = total = 0.0
    for tensor in gguf.GGUFReader(path).tensors:
        if len(tensor.shape) > 1:
            w = exact[tensor.name].data.astype(np.float64).reshape(-1)
            q = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64).reshape(-1)
            error, total = error + ((w - q) ** 2).sum(), total + (w**2).sum()
    return float(np.sqrt(error / total))


def text(n_tokens: int, llama: Llama) -> np.ndarray:
    rng, tokens = random.Random(5), []
    while len(tokens) < n_tokens:
        turns = mix.dialogue(rng)
        tokens += llama.tokens("".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns))
    return np.array(tokens[:n_tokens], np.uint32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logits", required=True, help="the program of the example `logits` of tokenmill-model")
    parser.add_argument("--model", default=ROOT / "models/tokenmill-demo.gguf", type=pathlib.Path)
    parser.add_argument("--work", default=ROOT / "target/quality/files", type=pathlib.Path)
    parser.add_argument("--windows", default=8, type=int, help=f"texts of {WINDOW} tokens")
    parser.add_argument("--formats", default="", help="only these, with commas between")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    llama_cpp.llama_log_set(QUIET, ctypes.c_void_p(0))
    print("| format | Tokenmill | F32 keys and values | llama.cpp | with flash attention | Tokenmill / llama.cpp | same first choice, both | rms |")
    print("|---|---|---|---|---|---|---|---|")
    for formats, widen in ((PLAIN, False), (SUPER, True)):
        base = args.work / ("wide-f32.gguf" if widen else "f32.gguf")
        copy_gguf(args.model, base, widen)
        exact = Llama(base, True, 0)
        tokens = text(args.windows * WINDOW, exact)
        (args.work / "tokens.bin").write_bytes(tokens.astype("<u4").tobytes())
        reference = exact.logits(tokens)
        exact.close()
        for name, file_type in formats.items():
            if args.formats and name not in args.formats.split(","):
                continue
            path = args.work / f"{name}.gguf"
            if not quantise(base, path, file_type):
                print(f"| {name} | not written by this llama.cpp |")
                continue
            row(args, name, path, base, reference, tokens)


def row(args, name, path, base, reference, tokens) -> None:
    choice = reference.argmax(-1)
    auto, with_f32 = (
        ours(args.logits, path, args.work / "tokens.bin", args.work, reference.shape[1], kv) for kv in ("auto", "f32")
    )
    theirs = []
    for flash in (0, 1):
        llama = Llama(path, False, flash)
        theirs.append(llama.logits(tokens))
        llama.close()
    mean = [divergence(reference, logits).mean() for logits in (auto, with_f32, *theirs)]
    same = [np.mean(logits.argmax(-1) == choice) for logits in (auto, theirs[0])]
    ratio = mean[0] / min(mean[2:])
    cells = [f"{x:.3e}" for x in mean] + [f"{ratio:.2f}", f"{same[0]:.2%} / {same[1]:.2%}", f"{weight_error(base, path):.4f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


QUIET = llama_cpp.llama_log_callback(lambda level, message, data: None)

if __name__ == "__main__":
    main()
