"""Trains the demonstration model and writes its weights as numpy files.

    python train.py OUT --seconds 465
    python train.py OUT2 --seconds 200 --rate 1e-3 --seed 4 --start-from MODEL.gguf
    python train.py OUT3 --seconds 3600 --tokens 4096 --rate 5e-4 --start-from MODEL.gguf --workers 1 --shards-each 40 --threads 2   # no GPU

Generator processes make fresh dialogues all the while, so hardly any is seen twice. Training is bounded
by the clock; the learning rate follows the share of the time that is used up.
"""

import argparse
import inspect
import math
import multiprocessing
import os
import random
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from corpus.mix import dialogues, held_back
from encoding import VOCABULARY, Chat

LONGEST = 1024
SHARD_DIALOGUES = 4000
PADDED_DOCS = 1 << 13


@dataclass
class Shape:
    """The model's dimensions; every one a multiple of 32."""

    dim: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    hidden: int = 896
    vocab: int = VOCABULARY
    rope_base: float = 10_000.0
    eps: float = 1e-6


# --- data -------------------------------------------------------------------------------------------------


def generate(worker, seed, folder, count):
    """Writes `count` shards: ids, learn flags and document lengths, one file each."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    chat, held = Chat(), held_back()
    for n in range(count):
        ids, learn, lengths = [], [], []
        for turns in dialogues(f"{seed}/{worker}/{n}", SHARD_DIALOGUES, held):
            one, flags = chat.dialogue(turns)
            if len(one) <= LONGEST:
                ids += one
                learn += flags
                lengths.append(len(one))
        path = folder / f"{seed}-{worker}-{n}.npz"
        with open(folder / f".{seed}-{worker}-{n}.tmp", "wb") as file:
            np.savez(file, ids=np.array(ids, np.uint16), learn=np.array(learn, np.uint8), lengths=np.array(lengths, np.int32))
        os.rename(folder / f".{seed}-{worker}-{n}.tmp", path)


class Batches:
    """Whole documents, packed to `size` tokens, read from the shards as they appear."""

    def __init__(self, folder, size, seed):
        self.folder, self.size, self.rng = folder, size, random.Random(seed)
        self.seen, self.known = set(), []
        self.docs = self.stream()
        self.kept = None

    def stream(self):
        while True:
            new = sorted(p for p in self.folder.glob("*.npz") if p not in self.seen)
            if not new and not self.known:
                time.sleep(0.1)
                continue
            path = self.rng.choice(new or self.known)
            if path not in self.seen:
                self.seen.add(path)
                self.known.append(path)
            shard = np.load(path)
            ids, learn, lengths = shard["ids"], shard["learn"], shard["lengths"]
            starts = np.concatenate([[0], np.cumsum(lengths)])
            for at in np.random.default_rng(self.rng.randrange(2**32)).permutation(len(lengths)):
                yield ids[starts[at] : starts[at + 1]], learn[starts[at] : starts[at + 1]]

    def next(self):
        """inputs, targets (-100 where nothing is learnt), positions [size]; document bounds [PADDED_DOCS]."""
        inputs = np.zeros(self.size, np.int64)
        targets = np.full(self.size, -100, np.int64)
        positions = np.zeros(self.size, np.int64)
        bounds, at = [0], 0
        while len(bounds) < PADDED_DOCS - self.size // LONGEST - 2:
            doc, self.kept = self.kept or next(self.docs), None
            n = len(doc[0])
            if at + n > self.size:
                self.kept = doc
                break
            inputs[at : at + n] = doc[0]
            targets[at : at + n - 1] = np.where(doc[1][1:] == 1, doc[0][1:].astype(np.int64), -100)
            positions[at : at + n] = np.arange(n)
            at += n
            bounds.append(at)
        while at < self.size:
            at = min(at + LONGEST, self.size)
            bounds.append(at)
        bounds += [self.size] * (PADDED_DOCS - len(bounds))
        return inputs, targets, positions, np.array(bounds, np.int32)


class Prefetch:
    """Keeps a few batches ready on the device."""

    def __init__(self, batches, device, depth=4):
        import queue

        self.queue = queue.Queue(depth)
        threading.Thread(target=self.fill, args=(batches, device), daemon=True).start()

    def fill(self, batches, device):
        while True:
            parts = [torch.from_numpy(part) for part in batches.next()]
            self.queue.put([(p.pin_memory() if device == "cuda" else p).to(device, non_blocking=True) for p in parts])

    def next(self):
        return self.queue.get()


# --- model ------------------------------------------------------------------------------------------------


def rms(x, weight, eps):
    """Normalised over the last dimension, in float32."""
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def rotated(x, cos, sin):
    """x [tokens, heads, head_dim]: the two halves turned against each other by the position's angle."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def plain_attention(q, k, v, bounds):
    """Fallback: causal within rows of LONGEST tokens, documents not kept apart."""
    rows = [t.view(-1, min(LONGEST, t.shape[0]), t.shape[1], t.shape[2]).transpose(1, 2) for t in (q, k, v)]
    return F.scaled_dot_product_attention(*rows, is_causal=True).transpose(1, 2).reshape(q.shape)


def split_attention(q, k, v, bounds):
    """On a processor: causal attention of one document after the other."""
    ends = torch.unique(bounds).tolist()
    lengths = [end - start for start, end in zip(ends, ends[1:])]
    documents = zip(*(t.split(lengths) for t in (q, k, v)))
    mixed = [F.scaled_dot_product_attention(*(t.transpose(0, 1)[None] for t in one), is_causal=True) for one in documents]
    return torch.cat([one[0].transpose(0, 1) for one in mixed])


def packed_attention():
    """Causal attention that keeps documents apart, where this PyTorch has it; otherwise None."""
    try:
        from torch.nn.attention.varlen import varlen_attn

        known = inspect.signature(varlen_attn).parameters
        causal = {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}

        def attend(q, k, v, bounds):
            return varlen_attn(q, k, v, bounds, bounds, LONGEST, LONGEST, **causal)

        q, k, v = (torch.randn(96, 2, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
        got = attend(q, k, v, torch.tensor([0, 40, 96, 96], device="cuda", dtype=torch.int32))
        for a, b in ((0, 40), (40, 96)):
            one = [t[a:b].transpose(0, 1)[None] for t in (q, k, v)]
            want = F.scaled_dot_product_attention(*one, is_causal=True)[0].transpose(0, 1)
            assert (got[a:b] - want).abs().max() < 0.03
        return attend
    except Exception as error:  # noqa: BLE001 - any failure means: use the fallback
        print("packed attention is not available:", repr(error)[:300])
        return None


class Layer(nn.Module):
    def __init__(self, shape, attend):
        super().__init__()
        s, self.shape, self.attend = shape, shape, attend
        self.attn_norm, self.ffn_norm = nn.Parameter(torch.ones(s.dim)), nn.Parameter(torch.ones(s.dim))
        self.attn_q_norm, self.attn_k_norm = nn.Parameter(torch.ones(s.head_dim)), nn.Parameter(torch.ones(s.head_dim))
        self.attn_q = nn.Linear(s.dim, s.heads * s.head_dim, bias=False)
        self.attn_k = nn.Linear(s.dim, s.kv_heads * s.head_dim, bias=False)
        self.attn_v = nn.Linear(s.dim, s.kv_heads * s.head_dim, bias=False)
        self.attn_output = nn.Linear(s.heads * s.head_dim, s.dim, bias=False)
        self.ffn_gate = nn.Linear(s.dim, s.hidden, bias=False)
        self.ffn_up = nn.Linear(s.dim, s.hidden, bias=False)
        self.ffn_down = nn.Linear(s.hidden, s.dim, bias=False)

    def forward(self, x, cos, sin, bounds):
        s = self.shape
        h = rms(x, self.attn_norm, s.eps)
        q = rms(self.attn_q(h).view(-1, s.heads, s.head_dim), self.attn_q_norm, s.eps)
        k = rms(self.attn_k(h).view(-1, s.kv_heads, s.head_dim), self.attn_k_norm, s.eps)
        v = self.attn_v(h).view(-1, s.kv_heads, s.head_dim)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        k, v = (t.repeat_interleave(s.heads // s.kv_heads, 1) for t in (k, v))
        low = torch.bfloat16
        mixed = self.attend(q.to(low), k.to(low), v.to(low), bounds).reshape(x.shape[0], -1)
        x = x + self.attn_output(mixed.to(h.dtype))
        h = rms(x, self.ffn_norm, s.eps)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Model(nn.Module):
    def __init__(self, shape, attend):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.dim)
        self.blk = nn.ModuleList(Layer(shape, attend) for _ in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.dim))
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * shape.layers) if deep else 1))

    def forward(self, inputs, targets, positions, bounds):
        s = self.shape
        rates = s.rope_base ** (-torch.arange(0, s.head_dim, 2, device=inputs.device, dtype=torch.float32) / s.head_dim)
        angles = (positions[:, None].float() * rates)[:, None, :]
        cos, sin = angles.cos(), angles.sin()
        x = self.token_embd(inputs)
        for layer in self.blk:
            x = layer(x, cos, sin, bounds)
        if not x.is_cuda:  # where shapes may vary, only what is learnt is predicted
            x, targets = x[targets >= 0], targets[targets >= 0]
        logits = F.linear(rms(x, self.output_norm, s.eps), self.token_embd.weight)
        return F.cross_entropy(logits.float(), targets, ignore_index=-100)


# --- the run ----------------------------------------------------------------------------------------------


def parameter_groups(model, decay):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def restore(model, path):
    """Takes up the weights of an exported file again."""
    import gguf

    arrays = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(np.array(arrays[name if name.endswith(".weight") else name + ".weight"])))


def save(model, out):
    """Weights as float16 files small enough to travel (norms stay float32)."""
    out.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, p in model.named_parameters():
        name = name.removeprefix("_orig_mod.")
        name = name if name.endswith(".weight") else name + ".weight"
        arrays[name] = p.detach().float().cpu().numpy().astype(np.float16 if p.dim() == 2 else np.float32)
    names = sorted(arrays)
    for part in range(2):
        np.savez(out / f"weights-{part}.npz", **{n: arrays[n] for n in names[part::2]})


def train(model, fresh, options):
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.1), lr=options.rate, betas=(0.9, 0.95), fused=True)
    started, step, losses, saved = None, 0, [], time.time()
    while True:
        batch = fresh.next()
        spent = 0.0 if started is None else (time.time() - started) / options.seconds
        if spent >= 1 or step == options.steps:
            break
        rate = options.rate * min(1, (step + 1) / options.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(options.device, torch.bfloat16):
            loss = model(*batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        step += 1
        if started is None:
            loss.item()
            started = time.time()  # what compiling takes is not counted
            print("first step done", flush=True)
        if time.time() - saved > options.save_every:
            save(model, options.out / str(step))
            saved = time.time()
        if step % options.report == 0:
            mean = torch.stack(losses[-options.report :]).mean().item()
            used = time.time() - started
            print(f"step {step} loss {mean:.4f} tokens/s {step * options.tokens / used:.3g} time {used:.0f}", flush=True)
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--tokens", type=int, default=131072, help="tokens in a batch")
    parser.add_argument("--warm-up", type=int, default=150, help="steps until the rate is reached")
    parser.add_argument("--report", type=int, default=100, help="steps between two lines of progress")
    parser.add_argument("--save-every", type=float, default=math.inf, help="seconds between two states that are kept")
    parser.add_argument("--threads", type=int, help="threads of a run without a GPU")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--start-from", type=Path, help="a GGUF file whose weights are taken up again")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--shards-each", type=int, default=10**6, help="shards that a worker makes")
    parser.add_argument("--shards", type=Path, default=Path("/tmp/tokenmill-shards"))
    options = parser.parse_args()
    options.device = "cuda" if torch.cuda.is_available() else "cpu"
    options.shards.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    begun = time.time()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=generate, args=(w, options.seed, options.shards, options.shards_each), daemon=True) for w in range(options.workers)]
    for worker in workers:
        worker.start()
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    attend = (packed_attention() if options.device == "cuda" else None) or (split_attention if options.device == "cpu" else plain_attention)
    shape = Shape()
    model = Model(shape, attend).to(options.device)
    if options.start_from:
        restore(model, options.start_from)
    print(asdict(shape), "parameters", sum(p.numel() for p in model.parameters()), "attention", attend.__name__, flush=True)
    fresh = Prefetch(Batches(options.shards, options.tokens, 1), options.device)
    compiled = torch.compile(model) if options.device == "cuda" else model
    steps = train(compiled, fresh, options)
    save(model, options.out)
    shards = len(list(options.shards.glob("*.npz")))
    print(f"steps {steps} tokens {steps * options.tokens} shards {shards} seconds {time.time() - begun:.0f}")
    for worker in workers:
        worker.terminate()


if __name__ == "__main__":
    main()
