#!/usr/bin/env python3
"""Makes the golden files of `hugging_face_files.rs` with the `tokenizers` package (0.23): small tokenizers of every
shape that models ship, and the ids that the package gives for many texts.

    python make_hf_golden.py golden/hf
"""

import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders as D
from tokenizers import models
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors, trainers

out = sys.argv[1]
os.makedirs(out, exist_ok=True)

WORDS = """the quick brown fox jumps over a lazy dog while thirteen happy people were singing there's something in
the water, they've said; I'm not sure we'll ever know what it's about. Numbers like 1, 22, 333, 4444 and 2026-11-22
stand here, und Größe über Straße, naïve café, привет мир как дела, 你好世界 中文 你好, こんにちは 日本, 안녕하세요,
हिन्दी, 🎉🚀 fn main() { println!("hello {}", x[0]); } // comment
    indented = lines\n\tand tabs == spaces != nothing <html> </html> user@example.com https://example.org/path?q=1"""
corpus = [WORDS, WORDS.upper(), WORDS.title()] * 4

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200 = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DS = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]


def bl(name, pre, norm=None, added=(), ignore=False, post=None, vocab=420):
    t = Tokenizer(models.BPE(ignore_merges=ignore))
    if norm:
        t.normalizer = norm
    t.pre_tokenizer = pre
    t.decoder = D.ByteLevel()
    t.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=["<|end|>", "<s>"],
            initial_alphabet=P.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    t.add_tokens(list(added))
    if post:
        t.post_processor = post(t)
    t.save(f"{out}/{name}.json", pretty=False)


def byts():
    return [f"<0x{b:02X}>" for b in range(256)]


def sp(name, norm, pre, dec, added=(), fuse=True, fallback=True, vocab=500):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    t.normalizer = norm
    if pre:
        t.pre_tokenizer = pre
    t.decoder = dec
    t.train_from_iterator(
        [l for c in corpus for l in c.split("\n")],
        trainers.BpeTrainer(
            vocab_size=vocab,
            limit_alphabet=90,
            special_tokens=["<unk>", "<s>", "<|end|>"] + byts(),
            show_progress=False,
            max_token_length=12,
        ),
    )
    d = json.loads(t.to_str())
    d["added_tokens"] = [a for a in d["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(d))
    t.add_tokens(list(added))
    t.save(f"{out}/{name}.json", pretty=False)


split = lambda r: P.Split(Regex(r), "isolated")
byte = P.ByteLevel(add_prefix_space=False, use_regex=False)
bos = lambda t: processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", t.token_to_id("<s>"))]
)
bl("gpt2", P.ByteLevel(add_prefix_space=False))
bl("gpt2_prefix", P.ByteLevel(add_prefix_space=True))
bl(
    "qwen",
    P.Sequence([split(QWEN), byte]),
    N.NFC(),
    [AddedToken("<think>", normalized=False), AddedToken("<tool>", normalized=True)],
)
bl(
    "llama3",
    P.Sequence([split(GPT4), byte]),
    None,
    [],
    True,
    lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), bos(t)]),
)
bl(
    "o200k",
    P.Sequence([split(O200), byte]),
    None,
    [AddedToken(" strip", lstrip=True, rstrip=True), AddedToken("word", single_word=True)],
)
bl("deepseek3", P.Sequence([*map(split, DS), byte]), N.Sequence([]))
bl("digits", P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]))
bl(
    "punct",
    P.Sequence(
        [P.Punctuation("contiguous"), P.Digits(individual_digits=False), P.ByteLevel(add_prefix_space=False)]
    ),
)
bl(
    "mergedprev",
    P.Sequence([P.Split(" ", "merged_with_previous"), P.Split(Regex("[0-9]"), "merged_with_next"), byte]),
    N.Sequence([N.NFKC(), N.Lowercase(), N.Replace("a", "ä"), N.Strip()]),
)
bl("whitespace", P.Sequence([P.WhitespaceSplit(), byte]), N.NFD())
bl("removed", P.Sequence([P.Whitespace(), P.Split(Regex(r"[aeiou]"), "removed"), byte]), N.NFKD())
fallback = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
sp(
    "llama2",
    N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]),
    None,
    fallback,
    [AddedToken("<tool>", normalized=True), AddedToken("<think>", normalized=False)],
)
sp(
    "gemma",
    N.Replace(" ", "▁"),
    P.Split(" ", "merged_with_previous"),
    D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
)
sp("meta_always", N.NFKC(), P.Metaspace("▁", "always", True), D.Metaspace("▁", "always", True))
sp(
    "meta_first",
    N.NFC(),
    P.Metaspace("▁", "first", False),
    D.Metaspace("▁", "first", False),
    [AddedToken("<think>", normalized=False)],
)
sp(
    "meta_never",
    N.NFC(),
    P.Metaspace("▁", "never", True),
    D.Metaspace("▁", "never", True),
    fallback=False,
    fuse=False,
)
sp(
    "unk_fused",
    N.NFC(),
    P.Metaspace("▁", "never", False),
    D.Metaspace("▁", "never", False),
    fallback=False,
    fuse=True,
)


def texts():
    rng = random.Random(20261122)
    alphabet = list("abcdeABC 123.,!?'\"-_/<>|\n\t\r") + [
        " ",
        "  ",
        "'s",
        "'LL",
        "\u00e9",
        "e\u0301",
        "\u00e4",
        "\u4f60",
        "\u597d",
        "\u3000",
        "\u00a0",
        "\u200b",
        "\U0001f389",
        "\u0939",
        "\u093f",
        "\u0928\u094d",
        "\u00bd",
        "\u2167",
        "\ufb01",
        "\u212b",
        "\u0130",
        "\u00df",
        "\u2581",
        "\x00",
        "\x1b",
        "\x85",
        "\u2028",
        "\uac00",
        "\u1100\u1161",
        "\U00020000",
        "<|end|>",
        "<s>",
        "<think>",
        "<tool>",
        " strip",
        "word",
    ]
    words = WORDS.split(" ")
    found = ["", " ", "  ", "\n", " \n ", "a", " a", "a ", WORDS]
    for _ in range(60):
        found.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 24))))
        found.append(
            " ".join(
                rng.choice(words) + rng.choice(["", "", rng.choice(alphabet)])
                for _ in range(rng.randint(1, 8))
            )
        )
    return found


def golden():
    cases = {}
    for name in sorted(os.listdir(out)):
        if name.endswith(".json") and name != "ids.json":
            tokenizer = Tokenizer.from_file(f"{out}/{name}")
            cases[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts()]
    with open(f"{out}/ids.json", "w") as file:
        json.dump({"texts": texts(), "ids": cases}, file, separators=(",", ":"))


golden()
