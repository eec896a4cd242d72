"""Writes the folders beside this file: a Llama of one layer, quantised in each way that folders come in.

Run it with numpy installed; the results are committed. `golden.json` of a folder has, for each quantised module, the SHA-256
of its weights as they were before they were packed, `scale * (code - zero)` rounded once to float32, and the logits of a
prompt, computed with these weights in float64. Nothing here shares code with those who pack or read such files.
"""

import hashlib
import json
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
WIDTH, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 128, 2, 1, 64, 40
PROMPT = [3, 1, 4, 1, 5, 9, 26, 35]
DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1", "F8_E4M3": "u1", "I32": "<i4", "I64": "<i8"}


def bf16(x: np.ndarray) -> np.ndarray:
    """The nearest numbers of 8 bits of mantissa."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def round_to(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "F16":
        return x.astype(np.float16).astype(np.float32)
    return bf16(x) if dtype == "BF16" else x.astype(np.float32)


def e4m3_values() -> np.ndarray:
    codes = np.arange(256)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    values = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    values = np.where(codes & 128, -values, values)
    values[[0x7F, 0xFF]] = np.nan
    return values


class Folder:
    def __init__(self, name: str, n_ff: int = 128) -> None:
        self.name, self.n_ff = name, n_ff
        self.tensors: dict[str, tuple[str, np.ndarray]] = {}
        self.hashes: dict[str, str] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.random = np.random.default_rng(sum(name.encode()))

    def add(self, name: str, dtype: str, values: np.ndarray) -> None:
        stored = np.ascontiguousarray(values)
        if dtype == "BF16":
            stored = (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype("<u2")
        self.tensors[name] = (dtype, stored.astype(DTYPES[dtype]))

    def add_plain(self, name: str, shape: tuple[int, ...], mean: float = 0.0) -> None:
        deviation = 0.1 if len(shape) == 1 else 1.5 / shape[1] ** 0.5
        values = (mean + self.random.normal(size=shape) * deviation).astype(np.float16).astype(np.float32)
        self.weights[name] = values
        self.add(name, "F16", values)

    def modules(self) -> list[tuple[str, tuple[int, int]]]:
        attention, mlp = "model.layers.0.self_attn", "model.layers.0.mlp"
        return [
            (f"{attention}.q_proj", (HEADS * HEAD_DIM, WIDTH)),
            (f"{attention}.k_proj", (KV_HEADS * HEAD_DIM, WIDTH)),
            (f"{attention}.v_proj", (KV_HEADS * HEAD_DIM, WIDTH)),
            (f"{attention}.o_proj", (WIDTH, HEADS * HEAD_DIM)),
            (f"{mlp}.gate_proj", (self.n_ff, WIDTH)),
            (f"{mlp}.up_proj", (self.n_ff, WIDTH)),
            (f"{mlp}.down_proj", (WIDTH, self.n_ff)),
        ]

    def known(self, module: str, values: np.ndarray, scales: np.ndarray) -> None:
        """Notes the weights of a module: whole values times their scales."""
        weights = (values.astype(np.float64) * scales.astype(np.float64)).astype(np.float32)
        self.weights[f"{module}.weight"] = weights
        # Zeros without a sign.
        self.hashes[f"{module}.weight"] = hashlib.sha256((weights + np.float32(0)).astype("<f4").tobytes()).hexdigest()

    def codes(self, shape: tuple[int, int], bits: int, group: int, dtype: str, symmetric: bool, zeros: tuple[int, int]):
        """Random codes `[n_out, n_in]`, and for each group scales and zero points `[n_out, n_groups]`."""
        n_out, n_in = shape
        n_groups = -(-n_in // group)
        middle = 1 << (bits - 1)
        codes = np.clip(np.rint(self.random.normal(size=shape) * middle / 3 + middle), 0, 2 * middle - 1).astype(np.int64)
        scales = round_to((0.5 + self.random.random((n_out, n_groups))) * 4.5 / middle / n_in**0.5, dtype)
        zero = np.full((n_out, n_groups), middle)
        if not symmetric:
            zero = np.clip(middle + self.random.integers(-3, 4, zero.shape), *zeros)
            zero[0, 0], zero[1, 0] = zeros
        column = np.arange(n_in) // group
        return codes, scales, zero, codes - zero[:, column], scales[:, column]

    def write(self, quantization_config: dict, format_name: str) -> None:
        self.add_plain("model.embed_tokens.weight", (VOCAB, WIDTH))
        self.add_plain("lm_head.weight", (VOCAB, WIDTH))
        for norm in ("model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"):
            self.add_plain(f"{norm}.weight", (WIDTH,), 1.0)
        folder = HERE / self.name
        folder.mkdir(exist_ok=True)
        header, data = {}, b""
        for name, (dtype, values) in self.tensors.items():
            begin = len(data)
            data += values.tobytes()
            header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [begin, len(data)]}
        head = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
        config = {
            "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": WIDTH, "head_dim": HEAD_DIM,
            "intermediate_size": self.n_ff, "max_position_embeddings": 64, "num_attention_heads": HEADS,
            "num_hidden_layers": 1, "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "tie_word_embeddings": False, "vocab_size": VOCAB, "quantization_config": quantization_config,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (folder / "tokenizer.json").write_text("{}\n")
        golden = {"format": format_name, "weights": self.hashes, "prompt": PROMPT, "logits": self.logits().tolist()}
        (folder / "golden.json").write_text(json.dumps(golden) + "\n")

    def logits(self) -> np.ndarray:
        """Of the last token of the prompt."""
        w = {name: values.astype(np.float64) for name, values in self.weights.items()}
        layer = {name.removeprefix("model.layers.0."): values for name, values in w.items()}

        def norm(x, weight):
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weight

        def heads(x, n_heads):
            return x.reshape(len(PROMPT), n_heads, HEAD_DIM).transpose(1, 0, 2)

        def rope(x):
            half = HEAD_DIM // 2
            angle = np.arange(len(PROMPT))[:, None] * 10000.0 ** (-np.arange(half) / half)
            a, b = x[..., :half], x[..., half:]
            return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

        x = w["model.embed_tokens.weight"][PROMPT]
        h = norm(x, layer["input_layernorm.weight"])
        q = rope(heads(h @ layer["self_attn.q_proj.weight"].T, HEADS))
        k = rope(heads(h @ layer["self_attn.k_proj.weight"].T, KV_HEADS)).repeat(HEADS // KV_HEADS, 0)
        v = heads(h @ layer["self_attn.v_proj.weight"].T, KV_HEADS).repeat(HEADS // KV_HEADS, 0)
        scores = q @ k.transpose(0, 2, 1) / HEAD_DIM**0.5
        scores = np.where(np.tri(len(PROMPT), dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        seen = weights / weights.sum(-1, keepdims=True) @ v
        x = x + seen.transpose(1, 0, 2).reshape(len(PROMPT), -1) @ layer["self_attn.o_proj.weight"].T
        h = norm(x, layer["post_attention_layernorm.weight"])
        gate, up = h @ layer["mlp.gate_proj.weight"].T, h @ layer["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.down_proj.weight"].T
        return (norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T)[-1]


def pack(values: np.ndarray, bits: int, axis: int) -> np.ndarray:
    """Each 32 / bits values along an axis to a word, the first lowest."""
    per_word = 32 // bits
    values = np.moveaxis(np.asarray(values, np.uint64), axis, -1)
    values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % per_word)])
    values = values.reshape(*values.shape[:-1], -1, per_word)
    words = sum(values[..., i] << np.uint64(bits * i) for i in range(per_word))
    return np.moveaxis(words, -1, axis).astype(np.uint32).view(np.int32)


def gptq(bits: int, group: int, symmetric: bool, format_name: str, n_ff: int = 128, v2: bool = False) -> None:
    name = f"gptq-{bits}-{'sym' if symmetric else 'asym'}-{'all' if group < 0 else group}{'-v2' if v2 else ''}"
    folder = Folder(name, n_ff)
    for module, shape in folder.modules():
        length = shape[1] if group < 0 else group
        zeros = (0, (1 << bits) - 1) if v2 else (1, 1 << bits)
        codes, scales, zero, values, column_scales = folder.codes(shape, bits, length, "F16", symmetric, zeros)
        folder.known(module, values, column_scales)
        folder.add(f"{module}.qweight", "I32", pack(codes.T, bits, 0))
        folder.add(f"{module}.qzeros", "I32", pack(zero.T - (0 if v2 else 1), bits, 1))
        folder.add(f"{module}.scales", "F16", scales.T)
        folder.add(f"{module}.g_idx", "I32", np.arange(shape[1]) // length)
    config = {
        "bits": bits, "group_size": group, "damp_percent": 0.01, "desc_act": False, "sym": symmetric,
        "static_groups": False, "true_sequential": True, "quant_method": "gptq",
        "checkpoint_format": "gptq_v2" if v2 else "gptq",
    }
    folder.write(config, format_name)


def awq(group: int, format_name: str) -> None:
    folder = Folder(f"awq-{group}")
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def interleaved(values: np.ndarray) -> np.ndarray:
        n_lines, n_out = values.shape
        return pack(values.reshape(n_lines, n_out // 8, 8)[:, :, order].reshape(n_lines, n_out), 4, 1)

    for module, shape in folder.modules():
        codes, scales, zero, values, column_scales = folder.codes(shape, 4, group, "F16", False, (0, 15))
        folder.known(module, values, column_scales)
        folder.add(f"{module}.qweight", "I32", interleaved(codes.T))
        folder.add(f"{module}.qzeros", "I32", interleaved(zero.T))
        folder.add(f"{module}.scales", "F16", scales.T)
    config = {
        "bits": 4, "group_size": group, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
        "zero_point": True,
    }
    folder.write(config, format_name)


def compressed_config(layout: str, weights: dict) -> dict:
    weights = {"actorder": None, "block_structure": None, "dynamic": False, "observer": "minmax", "observer_kwargs": {}} | weights
    group = {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": weights}
    return {
        "config_groups": {"group_0": group}, "format": layout, "global_compression_ratio": 1.5, "ignore": ["lm_head"],
        "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed",
    }


def packed(bits: int, group: int, dtype: str, symmetric: bool, format_name: str) -> None:
    folder = Folder(f"packed-{bits}-{'sym' if symmetric else 'asym'}-{'all' if group < 0 else group}-{dtype.lower()}")
    for module, shape in folder.modules():
        length = shape[1] if group < 0 else group
        codes, scales, zero, values, column_scales = folder.codes(shape, bits, length, dtype, symmetric, (0, (1 << bits) - 1))
        folder.known(module, values, column_scales)
        folder.add(f"{module}.weight_packed", "I32", pack(codes, bits, 1))
        folder.add(f"{module}.weight_shape", "I64", np.array(shape))
        folder.add(f"{module}.weight_scale", dtype, scales)
        if not symmetric:
            folder.add(f"{module}.weight_zero_point", "I32", pack(zero, bits, 0))
    strategy = {"strategy": "channel"} if group < 0 else {"strategy": "group", "group_size": group}
    config = compressed_config("pack-quantized", {"num_bits": bits, "symmetric": symmetric, "type": "int"} | strategy)
    folder.write(config, format_name)


def int8(dtype: str, symmetric: bool, format_name: str) -> None:
    folder = Folder(f"int8-{'sym' if symmetric else 'asym'}-{dtype.lower()}")
    for module, shape in folder.modules():
        codes, scales, zero, values, column_scales = folder.codes(shape, 8, shape[1], dtype, symmetric, (0, 255))
        folder.known(module, values, column_scales)
        folder.add(f"{module}.weight", "I8", codes - 128)
        folder.add(f"{module}.weight_scale", dtype, scales)
        if not symmetric:
            folder.add(f"{module}.weight_zero_point", "I8", zero - 128)
    weights = {"num_bits": 8, "strategy": "channel", "symmetric": symmetric, "type": "int"}
    folder.write(compressed_config("int-quantized", weights), format_name)


def fp8(strategy: str, dtype: str) -> None:
    block = strategy == "block"
    folder = Folder(f"fp8-{strategy}", 160 if block else 128)
    for module, (n_out, n_in) in folder.modules():
        codes = folder.random.integers(0, 256, (n_out, n_in))
        # Normal weights rather than all codes alike, and no code that is not a number.
        codes = np.where(folder.random.random(codes.shape) < 0.9, codes & 0x80 | 0x20 + (codes & 0x1F), codes)
        codes = np.where(codes & 0x7F == 0x7F, 0, codes)
        shape = {"tensor": (1,), "channel": (n_out, 1), "block": (-(-n_out // 128), -(-n_in // 128))}[strategy]
        scales = round_to((0.5 + folder.random.random(shape)) * 0.3 / n_in**0.5, dtype)
        if block:
            expanded = scales.repeat(128, 0)[:n_out].repeat(128, 1)[:, :n_in]
        else:
            expanded = np.broadcast_to(scales.reshape(-1, 1), (n_out, n_in))
        folder.known(module, e4m3_values()[codes], expanded)
        folder.add(f"{module}.weight", "F8_E4M3", codes)
        folder.add(f"{module}.weight_scale_inv" if block else f"{module}.weight_scale", dtype, scales)
        if strategy == "tensor":
            folder.add(f"{module}.input_scale", "F32", np.ones(1))
    if block:
        config = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
    else:
        config = compressed_config("float-quantized", {"num_bits": 8, "strategy": strategy, "symmetric": True, "type": "float"})
    folder.write(config, "F8")


gptq(4, 128, True, "Q4_0")
gptq(4, 32, False, "I4")
gptq(4, 128, False, "I4_128", n_ff=160)
gptq(4, -1, True, "Q4_0", v2=True)
gptq(8, 64, True, "Q8_0")
gptq(8, -1, False, "I8")
awq(128, "I4_128")
awq(64, "I4")
packed(4, 32, "BF16", True, "Q4_0")
packed(4, 128, "BF16", False, "I4_128")
packed(4, 64, "F32", True, "I8")
packed(8, -1, "BF16", True, "Q8_0")
int8("BF16", True, "Q8_0")
int8("F32", False, "I8")
fp8("tensor", "F32")
fp8("channel", "BF16")
fp8("block", "BF16")
