"""Writes the trained weights as a GGUF file: matrices in Q8_0, norms in F32.

    python export_gguf.py WEIGHTS_FOLDER tokenmill-demo.gguf
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np

from encoding import CONTROL, END, END_OF_TEXT, MARKS, TOKENIZER

HERE = Path(__file__).parent
CONTEXT = 2048
HEAD_DIM = 64
ROPE_BASE = 10_000.0
EPS = 1e-6
TEMPERATURE, TOP_K, TOP_P = 0.6, 40, 0.9
DESCRIPTION = (
    "Tokenmill's built-in demonstration model, trained on text that the project generated. It tells jokes and "
    "short stories, does small sums, answers questions about Tokenmill, calls simple functions and thinks when told "
    "to. Not for any other use."
)


def weights(folder):
    """Tensor name to array, from the files that train.py wrote."""
    arrays = {}
    for path in sorted(folder.glob("weights-*.npz")):
        with np.load(path) as file:
            arrays.update({name: file[name].astype(np.float32) for name in file.files})
    return arrays


def add_description(writer, arrays):
    parameters = sum(a.size for a in arrays.values())
    writer.add_type("model")
    writer.add_name("Tokenmill Demo")
    writer.add_basename("tokenmill-demo")
    writer.add_organization("Tokenmill")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_size_label(f"{parameters / 1e6:.0f}M")
    writer.add_languages(["en"])
    writer.add_tags(["demonstration", "text-generation"])
    writer.add_float32("general.sampling.temp", TEMPERATURE)
    writer.add_int32("general.sampling.top_k", TOP_K)
    writer.add_float32("general.sampling.top_p", TOP_P)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_shape(writer, arrays):
    vocab, dim = arrays["token_embd.weight"].shape
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(dim)
    writer.add_block_count(1 + max(int(n.split(".")[1]) for n in arrays if n.startswith("blk.")))
    writer.add_feed_forward_length(arrays["blk.0.ffn_gate.weight"].shape[0])
    writer.add_head_count(arrays["blk.0.attn_q.weight"].shape[0] // HEAD_DIM)
    writer.add_head_count_kv(arrays["blk.0.attn_k.weight"].shape[0] // HEAD_DIM)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_vocab_size(vocab)


def add_tokenizer(writer):
    described = json.loads(TOKENIZER.read_text())
    vocabulary = described["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    assert [vocabulary[t] for t in tokens] == list(range(len(tokens)))
    kinds = {**dict.fromkeys(CONTROL, gguf.TokenType.CONTROL), **dict.fromkeys(MARKS, gguf.TokenType.USER_DEFINED)}
    merges = [m if isinstance(m, str) else " ".join(m) for m in described["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(t, gguf.TokenType.NORMAL) for t in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(vocabulary[END])
    writer.add_pad_token_id(vocabulary[END_OF_TEXT])
    writer.add_add_bos_token(False)
    writer.add_chat_template((HERE / "chat_template.jinja").read_text().rstrip("\n"))


def add_tensors(writer, arrays):
    for name in sorted(arrays):
        array = arrays[name]
        if array.ndim == 2:
            q8 = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(array, q8), raw_dtype=q8)
        else:
            writer.add_tensor(name, array)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    arrays = weights(options.weights)
    writer = gguf.GGUFWriter(options.out, "qwen3")
    add_description(writer, arrays)
    add_shape(writer, arrays)
    add_tokenizer(writer)
    add_tensors(writer, arrays)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(options.out, options.out.stat().st_size, "bytes,", sum(a.size for a in arrays.values()), "parameters")


if __name__ == "__main__":
    main()
