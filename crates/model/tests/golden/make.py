"""Makes the golden models of this folder: tiny random checkpoints, and what `transformers` computes with them.

    pip install torch transformers safetensors gguf
    python make.py

For each case it writes a Hugging Face folder NAME with the checkpoint in F32 and `golden.json`: a prompt, logits of some
of its rows, the greedy continuation and the logits behind its end, computed without a key/value cache. For some cases
also NAME.gguf, the same weights as a GGUF file. Prompts reach over sliding windows, cache pages and the contexts from
which rope was stretched. The same versions of the packages give the same files.
"""

import json
import math
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers

N_PROMPT = 150
N_CONTINUED = 64
ROWS = [0, 1, 39, 40, 63, 64, 128, 149]

SHAPE = dict(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    hidden_act="silu",
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)


def rope(kind="default", theta=10000.0, **parameters):
    return dict(rope_type=kind, rope_theta=theta, **parameters)


LLAMA3 = rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = rope("yarn", 1000000.0, factor=4.0, original_max_position_embeddings=64)

# name: (class of the model, class of its configuration, what differs from SHAPE, old spelling of rope, GGUF too)
CASES = {
    "llama": ("Llama", dict(rope_parameters=rope(), tie_word_embeddings=False), True, True),
    "llama-bias": ("Llama", dict(rope_parameters=rope(), attention_bias=True, mlp_bias=True), False, False),
    "llama-linear": ("Llama", dict(rope_parameters=rope("linear", factor=4.0)), True, False),
    "llama3": ("Llama", dict(rope_parameters=LLAMA3, tie_word_embeddings=True), True, True),
    "mistral": ("Mistral", dict(rope_parameters=rope(theta=1000000.0), sliding_window=40), True, True),
    "qwen2": ("Qwen2", dict(rope_parameters=rope(theta=1000000.0), tie_word_embeddings=True), False, True),
    "qwen2-window": ("Qwen2", dict(rope_parameters=rope(), use_sliding_window=True, sliding_window=40,
                                   max_window_layers=1), False, False),
    "qwen2-yarn": ("Qwen2", dict(rope_parameters=YARN, max_position_embeddings=256), True, False),
    "qwen3": ("Qwen3", dict(rope_parameters=rope(theta=1000000.0), tie_word_embeddings=True), True, True),
    "qwen3-yarn": ("Qwen3", dict(rope_parameters=YARN, max_position_embeddings=256), False, True),
    "qwen3moe": ("Qwen3Moe", dict(rope_parameters=rope(theta=1000000.0), num_experts=6, num_experts_per_tok=2,
                                  moe_intermediate_size=24, norm_topk_prob=True, tie_word_embeddings=True), True, True),
    "qwen3moe-plain": ("Qwen3Moe", dict(rope_parameters=rope(), num_experts=5, num_experts_per_tok=3,
                                        moe_intermediate_size=40, norm_topk_prob=False), False, False),
    "smollm2": ("Llama", dict(rope_parameters=rope(theta=100000.0), hidden_size=48, num_attention_heads=3,
                              num_key_value_heads=1, tie_word_embeddings=True), False, False),
    "smollm3": ("SmolLM3", dict(rope_parameters=rope(theta=2000000.0), no_rope_layers=[1, 0],
                                tie_word_embeddings=True), False, False),
}


def make(name):
    family, changes, old_spelling, as_gguf = CASES[name]
    torch.manual_seed(sum(name.encode()))
    # SmolLM3 has no head_dim of its own.
    shape = {key: value for key, value in SHAPE.items() if family != "SmolLM3" or key != "head_dim"}
    config = getattr(transformers, f"{family}Config")(**{**shape, **changes}, attn_implementation="eager")
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for tensor_name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape)
            if tensor_name == "model.norm.weight":
                # Of both signs: with tied embeddings, a token would else mostly be followed by itself.
                tensor.copy_(noise)
            elif "norm" in tensor_name:
                tensor.copy_(1.0 + 0.3 * noise)
            elif "bias" in tensor_name:
                tensor.copy_(0.5 * noise)
            elif "embed" in tensor_name or "lm_head" in tensor_name:
                tensor.copy_(noise)
            else:
                tensor.copy_(noise * 1.3 / math.sqrt(tensor.shape[-1]))
    folder = Path(__file__).parent / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    # Nothing of the tokenizer is needed, but a folder without one is incomplete.
    (folder / "tokenizer.json").write_text("{}\n")
    if old_spelling:
        spell_rope_as_before(folder / "config.json")
    golden = run(model)
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    if as_gguf:
        write_gguf(folder.parent / f"{name}.gguf", family, model)


def spell_rope_as_before(path):
    """Most files of today hold `rope_theta` and `rope_scaling`, as transformers wrote them before version 5."""
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    path.write_text(json.dumps(config, indent=2) + "\n")


@torch.no_grad()
def run(model):
    prompt = torch.randint(0, SHAPE["vocab_size"], (N_PROMPT,)).tolist()
    logits = model(torch.tensor([prompt]), use_cache=False).logits[0]
    rows = [numbers(logits[row]) for row in ROWS]
    tokens, margin = list(prompt), math.inf
    for _ in range(N_CONTINUED):
        last = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        best = torch.topk(last, 2).values
        margin = min(margin, float(best[0] - best[1]))
        tokens.append(int(last.argmax()))
    last = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
    return dict(
        prompt=prompt,
        rows=ROWS,
        logits=rows,
        continuation=tokens[N_PROMPT:],
        last_logits=numbers(last),
        smallest_margin=margin,
    )


def numbers(tensor):
    """Nine digits tell any two F32 numbers apart."""
    return [float(f"{number:.9g}") for number in tensor.tolist()]


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}


def gguf_name(name):
    stem, _, ending = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, part = stem.split(".", 3)
        if part == "mlp.experts":
            return f"blk.{layer}.ffn_{ending.removesuffix('_proj')}_exps.weight"
        return f"blk.{layer}.{GGUF_NAMES[part]}.{ending}"
    return f"{GGUF_NAMES[stem]}.{ending}"


def permuted(weights, n_heads):
    """Rows of Q and K so that the two numbers of a rope pair are neighbours, as GGUF files of the Llama family are."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write_gguf(path, family, model):
    config = model.config
    name = {"Llama": "llama", "Mistral": "llama", "Qwen2": "qwen2", "Qwen3": "qwen3", "Qwen3Moe": "qwen3moe"}[family]
    writer = gguf.GGUFWriter(path, name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if family == "Qwen3Moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if config.rope_parameters["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{token}" for token in range(config.vocab_size)])
    writer.add_token_merges(["t 0"])
    for tensor_name, tensor in model.named_parameters():
        weights = tensor.detach().numpy()
        if name == "llama" and "q_proj" in tensor_name:
            weights = permuted(weights, config.num_attention_heads)
        if name == "llama" and "k_proj" in tensor_name:
            weights = permuted(weights, config.num_key_value_heads)
        if tensor_name.endswith("experts.gate_up_proj"):
            prefix = gguf_name(tensor_name.replace("gate_up_proj", "down_proj")).removesuffix("ffn_down_exps.weight")
            for part, half in zip(("gate", "up"), np.split(weights, 2, axis=1)):
                writer.add_tensor(f"{prefix}ffn_{part}_exps.weight", np.ascontiguousarray(half))
            continue
        writer.add_tensor(gguf_name(tensor_name), np.ascontiguousarray(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama3_divisors(config):
    parameters = config.rope_parameters
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    factor, context = parameters["factor"], parameters["original_max_position_embeddings"]
    divisors = []
    for pair in range(config.head_dim // 2):
        wavelength = 2 * math.pi * parameters["rope_theta"] ** (2 * pair / config.head_dim)
        if wavelength < context / high:
            divisors.append(1.0)
        elif wavelength > context / low:
            divisors.append(factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, dtype=np.float32)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        make(case)
        print(case)
