"""A plain numpy run of the GGUF file, to judge exactly what is shipped. Slow and obvious; float32."""

from dataclasses import dataclass

import gguf
import numpy as np
from jinja2.sandbox import ImmutableSandboxedEnvironment

from encoding import END, END_OF_TEXT, Chat


@dataclass
class Sampling:
    """Temperature 0 takes the likeliest token."""

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.9


class Reference:
    """The model with the weights that the file holds after quantisation."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
        assert self.fields["general.architecture"] == "qwen3"
        get = lambda name: self.fields["qwen3." + name]  # noqa: E731
        self.layers, self.eps = get("block_count"), get("attention.layer_norm_rms_epsilon")
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.head_dim, self.rope_base = get("attention.key_length"), get("rope.freq_base")
        self.chat = Chat()
        self.check_tokenizer()
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self.template = environment.from_string(self.fields["tokenizer.chat_template"])
        self.stops = {self.chat.tokenizer.token_to_id(t) for t in (END, END_OF_TEXT)}

    def check_tokenizer(self):
        """The file's vocabulary is the tokenizer's."""
        tokens = self.fields["tokenizer.ggml.tokens"]
        assert all(self.chat.tokenizer.token_to_id(t) == n for n, t in enumerate(tokens))

    def rms(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[name]

    def rotated(self, x, start):
        """x [tokens, heads, head_dim]"""
        half = self.head_dim // 2
        rates = self.rope_base ** (-np.arange(half, dtype=np.float64) * 2 / self.head_dim)
        angles = (np.arange(start, start + x.shape[0])[:, None] * rates)[:, None, :]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def forward(self, ids, cache):
        """Logits [vocab] after the last of `ids`; `cache` holds keys and values per layer and grows."""
        w, start = self.weights, cache[0][0].shape[0] if cache else 0
        x = w["token_embd.weight"][ids]
        for n in range(self.layers):
            b = f"blk.{n}."
            h = self.rms(x, b + "attn_norm.weight")
            q, k, v = ((h @ w[f"{b}attn_{p}.weight"].T).reshape(len(ids), -1, self.head_dim) for p in "qkv")
            q = self.rotated(self.rms(q, b + "attn_q_norm.weight"), start)
            k = self.rotated(self.rms(k, b + "attn_k_norm.weight"), start)
            if start:
                k, v = np.concatenate([cache[n][0], k]), np.concatenate([cache[n][1], v])
                cache[n] = (k, v)
            else:
                cache.append((k, v))
            x = x + self.attend(q, k, v, start) @ w[b + "attn_output.weight"].T
            h = self.rms(x, b + "ffn_norm.weight")
            gate = h @ w[b + "ffn_gate.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up.weight"].T)) @ w[b + "ffn_down.weight"].T
        return self.rms(x[-1], "output_norm.weight") @ w["token_embd.weight"].T

    def attend(self, q, k, v, start):
        share = self.heads // self.kv_heads
        k, v = np.repeat(k, share, 1), np.repeat(v, share, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(self.head_dim)
        late = np.arange(k.shape[0])[None, :] > start + np.arange(q.shape[0])[:, None]
        scores[:, late] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v).reshape(q.shape[0], -1)

    def answer(self, messages, sampling, rng, limit=400):
        """The assistant's next words."""
        prompt = self.template.render(messages=messages, add_generation_prompt=True)
        ids, cache, out = self.chat.tokenizer.encode(prompt, add_special_tokens=False).ids, [], []
        assert ids == self.chat.prompt([(m["role"], m["content"]) for m in messages])
        while len(out) < limit:
            token = draw(self.forward(ids, cache), sampling, rng)
            if token in self.stops:
                break
            out.append(token)
            ids = [token]
        return self.chat.tokenizer.decode(out, skip_special_tokens=False)


def draw(logits, sampling, rng):
    if sampling.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits)[: sampling.top_k]
    p = np.exp((logits[order] - logits[order[0]]) / sampling.temperature)
    p /= p.sum()
    keep = int(np.searchsorted(np.cumsum(p), sampling.top_p)) + 1
    return int(rng.choice(order[:keep], p=p[:keep] / p[:keep].sum()))
