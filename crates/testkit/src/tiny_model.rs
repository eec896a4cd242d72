//! Whole models small enough for tests: random weights, a byte-level tokenizer, a ChatML template.

use serde_json::{Value, json};

use crate::gguf::{GgufWriter, TYPE_BF16, TYPE_F16, TYPE_F32, TYPE_Q8_0};
use crate::random::Random;
use crate::safetensors::SafetensorsWriter;

/// The chat template of all tiny models.
pub const CHAT_TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Ends a text. Ids below 256 are the bytes themselves.
pub const END_OF_TEXT: u32 = 260;
/// Begins a message.
pub const IM_START: u32 = 261;
/// Ends a message, and an answer.
pub const IM_END: u32 = 262;
/// Tokens of a tiny model.
pub const N_VOCAB: u32 = 264;

const MERGES: [(&str, &str); 4] = [("t", "h"), ("i", "n"), ("Ġ", "a"), ("th", "e")];
const SPECIALS: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unused|>"];
/// `tokenizer.ggml.token_type` of plain and of control tokens.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// A tiny model in the GGUF format: see [`TinyModel`]. `architecture` is "llama", "qwen2" or "qwen3".
pub fn tiny_model(architecture: &str, seed: u64) -> Vec<u8> {
    TinyModel::new(architecture, seed).gguf().bytes()
}

/// What a tiny model looks like. The same shape, seed and architecture give the same weights, as a GGUF file or as a
/// Hugging Face folder.
#[derive(Clone, Debug)]
pub struct TinyModel {
    /// "llama", "qwen2" or "qwen3".
    pub architecture: String,
    /// Of the weights.
    pub seed: u64,
    /// Layers.
    pub n_layers: usize,
    /// Width; a multiple of 32.
    pub n_embd: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// Width of the feed-forward part; a multiple of 32.
    pub n_ff: usize,
    /// Longest sequence.
    pub n_context: usize,
    /// Type of the matrices: one of the `TYPE_` constants of [`crate::gguf`].
    pub matrix_type: u32,
}

/// A tensor with its names in both kinds of files.
struct Tensor {
    gguf_name: String,
    hf_name: String,
    /// Slowest dimension first.
    shape: Vec<usize>,
    data: Vec<f32>,
    /// Rows of heads that GGUF files of the Llama family hold in another order.
    n_permuted_heads: Option<usize>,
}

impl TinyModel {
    /// Two layers of width 64, 4 heads over 2, in `f32`.
    pub fn new(architecture: &str, seed: u64) -> TinyModel {
        TinyModel {
            architecture: architecture.to_owned(),
            seed,
            n_layers: 2,
            n_embd: 64,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 16,
            n_ff: 96,
            n_context: 1024,
            matrix_type: TYPE_F32,
        }
    }

    /// The model as a GGUF file, for a test to take as it is or to add to.
    pub fn gguf(&self) -> GgufWriter {
        let mut writer = tokenizer_keys(self.shape_keys());
        for tensor in self.tensors() {
            let shape: Vec<u64> = tensor.shape.iter().map(|&dim| dim as u64).collect();
            let data = match tensor.n_permuted_heads {
                Some(n_heads) => adjacent_pairs(&tensor.data, n_heads, self.head_dim),
                None => tensor.data,
            };
            let ggml_type = if shape.len() == 2 {
                self.matrix_type
            } else {
                TYPE_F32
            };
            writer = writer.tensor(&tensor.gguf_name, ggml_type, &shape, encode(ggml_type, &data));
        }
        writer
    }

    /// The files of the model as a Hugging Face folder, in `f32`: names and contents.
    pub fn folder(&self) -> Vec<(&'static str, Vec<u8>)> {
        self.folder_with(|_, _| {})
    }

    /// The same, after `change` has seen the name and the numbers of each tensor.
    pub fn folder_with(&self, change: impl Fn(&str, &mut [f32])) -> Vec<(&'static str, Vec<u8>)> {
        let mut weights = SafetensorsWriter::new();
        for mut tensor in self.tensors() {
            change(&tensor.hf_name, &mut tensor.data);
            let shape: Vec<u64> = tensor.shape.iter().map(|&dim| dim as u64).collect();
            weights = weights.tensor(&tensor.hf_name, "F32", &shape, &encode(TYPE_F32, &tensor.data));
        }
        let generation =
            json!({"eos_token_id": [IM_END, END_OF_TEXT], "temperature": 0.7, "top_p": 0.9, "top_k": 40});
        let tokenizer_config =
            json!({"chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>", "add_bos_token": false});
        vec![
            ("config.json", self.config_json().to_string().into_bytes()),
            ("generation_config.json", generation.to_string().into_bytes()),
            ("model.safetensors", weights.bytes()),
            ("tokenizer.json", tokenizer_json().to_string().into_bytes()),
            ("tokenizer_config.json", tokenizer_config.to_string().into_bytes()),
        ]
    }

    /// `config.json` of the folder.
    pub fn config_json(&self) -> Value {
        let class = match self.architecture.as_str() {
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            _ => "LlamaForCausalLM",
        };
        json!({
            "architectures": [class],
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.n_embd,
            "intermediate_size": self.n_ff,
            "max_position_embeddings": self.n_context,
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_layers,
            "num_key_value_heads": self.n_kv_heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "tie_word_embeddings": self.tied(),
            "vocab_size": N_VOCAB,
        })
    }

    fn tied(&self) -> bool {
        self.architecture != "llama"
    }

    fn shape_keys(&self) -> GgufWriter {
        let name = &self.architecture;
        let key = |key: &str| format!("{name}.{key}");
        GgufWriter::new()
            .string("general.architecture", name)
            .string("general.name", &format!("tiny-{name}"))
            .u32(&key("context_length"), self.n_context as u32)
            .u32(&key("embedding_length"), self.n_embd as u32)
            .u32(&key("block_count"), self.n_layers as u32)
            .u32(&key("feed_forward_length"), self.n_ff as u32)
            .u32(&key("attention.head_count"), self.n_heads as u32)
            .u32(&key("attention.head_count_kv"), self.n_kv_heads as u32)
            .u32(&key("attention.key_length"), self.head_dim as u32)
            .u32(&key("attention.value_length"), self.head_dim as u32)
            .u32(&key("rope.dimension_count"), self.head_dim as u32)
            .f32(&key("rope.freq_base"), 10_000.0)
            .f32(&key("attention.layer_norm_rms_epsilon"), 1e-6)
    }

    fn tensors(&self) -> Vec<Tensor> {
        let mut random = Random::new(self.seed);
        let mut tensors = vec![matrix(
            &mut random,
            "token_embd",
            "model.embed_tokens",
            [N_VOCAB as usize, self.n_embd],
        )];
        for layer in 0..self.n_layers {
            self.layer_tensors(&mut random, layer, &mut tensors);
        }
        tensors.push(vector(
            &mut random,
            "output_norm.weight",
            "model.norm.weight",
            self.n_embd,
            1.0,
        ));
        if !self.tied() {
            tensors.push(matrix(
                &mut random,
                "output",
                "lm_head",
                [N_VOCAB as usize, self.n_embd],
            ));
        }
        tensors
    }

    fn layer_tensors(&self, random: &mut Random, layer: usize, tensors: &mut Vec<Tensor>) {
        let (width, n_q, n_kv) = (
            self.n_embd,
            self.n_heads * self.head_dim,
            self.n_kv_heads * self.head_dim,
        );
        let gguf = |name: &str| format!("blk.{layer}.{name}");
        let hf = |name: &str| format!("model.layers.{layer}.{name}");
        for (gguf_name, hf_name, shape, n_rotated_heads) in [
            ("attn_q", "self_attn.q_proj", [n_q, width], Some(self.n_heads)),
            ("attn_k", "self_attn.k_proj", [n_kv, width], Some(self.n_kv_heads)),
            ("attn_v", "self_attn.v_proj", [n_kv, width], None),
            ("attn_output", "self_attn.o_proj", [width, n_q], None),
            ("ffn_gate", "mlp.gate_proj", [self.n_ff, width], None),
            ("ffn_up", "mlp.up_proj", [self.n_ff, width], None),
            ("ffn_down", "mlp.down_proj", [width, self.n_ff], None),
        ] {
            let n_permuted_heads = n_rotated_heads.filter(|_| self.architecture == "llama");
            let matrix = matrix(random, &gguf(gguf_name), &hf(hf_name), shape);
            tensors.push(Tensor {
                n_permuted_heads,
                ..matrix
            });
            let biased = ["attn_q", "attn_k", "attn_v"].contains(&gguf_name) && self.architecture == "qwen2";
            if biased {
                let (gguf_name, hf_name) =
                    (gguf(&format!("{gguf_name}.bias")), hf(&format!("{hf_name}.bias")));
                tensors.push(vector(random, &gguf_name, &hf_name, shape[0], 0.0));
            }
        }
        for (gguf_name, hf_name, len, only) in [
            ("attn_norm", "input_layernorm", width, None),
            ("ffn_norm", "post_attention_layernorm", width, None),
            ("attn_q_norm", "self_attn.q_norm", self.head_dim, Some("qwen3")),
            ("attn_k_norm", "self_attn.k_norm", self.head_dim, Some("qwen3")),
        ] {
            if only.is_none_or(|only| only == self.architecture) {
                let (gguf_name, hf_name) = (
                    gguf(&format!("{gguf_name}.weight")),
                    hf(&format!("{hf_name}.weight")),
                );
                tensors.push(vector(random, &gguf_name, &hf_name, len, 1.0));
            }
        }
    }
}

/// Numbers of deviation 1 over the root of the columns, times 1.5 so that answers depend visibly on the prompt.
fn matrix(random: &mut Random, gguf_name: &str, hf_name: &str, shape: [usize; 2]) -> Tensor {
    let scale = 1.5 / (shape[1] as f32).sqrt();
    Tensor {
        gguf_name: format!("{gguf_name}.weight"),
        hf_name: format!("{hf_name}.weight"),
        shape: shape.to_vec(),
        data: (0..shape[0] * shape[1])
            .map(|_| random.normal() * scale)
            .collect(),
        n_permuted_heads: None,
    }
}

/// Numbers around `mean`.
fn vector(random: &mut Random, gguf_name: &str, hf_name: &str, len: usize, mean: f32) -> Tensor {
    Tensor {
        gguf_name: gguf_name.to_owned(),
        hf_name: hf_name.to_owned(),
        shape: vec![len],
        data: (0..len).map(|_| mean + random.normal() * 0.1).collect(),
        n_permuted_heads: None,
    }
}

/// Rows of each head from the order of halves (0, n/2, 1, n/2 + 1 belong together) to that of adjacent pairs.
fn adjacent_pairs(rows: &[f32], n_heads: usize, head_dim: usize) -> Vec<f32> {
    let n_cols = rows.len() / (n_heads * head_dim);
    let row = |idx: usize| &rows[idx * n_cols..(idx + 1) * n_cols];
    let source = |idx: usize| {
        let (head, within) = (idx / head_dim, idx % head_dim);
        head * head_dim + within / 2 + within % 2 * (head_dim / 2)
    };
    (0..n_heads * head_dim)
        .flat_map(|idx| row(source(idx)).iter().copied())
        .collect()
}

fn encode(ggml_type: u32, numbers: &[f32]) -> Vec<u8> {
    match ggml_type {
        TYPE_F32 => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        TYPE_F16 => numbers
            .iter()
            .flat_map(|&number| half::f16::from_f32(number).to_le_bytes())
            .collect(),
        TYPE_BF16 => numbers
            .iter()
            .flat_map(|&number| half::bf16::from_f32(number).to_le_bytes())
            .collect(),
        TYPE_Q8_0 => numbers.chunks(32).flat_map(q8_0_block).collect(),
        other => panic!("tiny models cannot be written in type {other}"),
    }
}

fn q8_0_block(numbers: &[f32]) -> Vec<u8> {
    let largest = numbers
        .iter()
        .fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let scale = half::f16::from_f32(largest / 127.0);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut block = scale.to_le_bytes().to_vec();
    block.extend(
        numbers
            .iter()
            .map(|number| (number * inverse).round() as i8 as u8),
    );
    block
}

/// How byte-level BPE writes a byte: itself where it is a visible character of Latin-1, else one from 256 on.
fn byte_character(byte: u8) -> char {
    let visible = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if visible(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|&before| !visible(before)).count() as u32;
    char::from_u32(256 + hidden_before).unwrap_or('\u{fffd}')
}

/// Texts of all tokens in the tokenizer's own spelling, id by id.
fn tokens() -> Vec<String> {
    let bytes = (0..=255).map(|byte| byte_character(byte).to_string());
    let merged = MERGES.iter().map(|(left, right)| format!("{left}{right}"));
    bytes.chain(merged).chain(SPECIALS.map(str::to_owned)).collect()
}

fn tokenizer_keys(writer: GgufWriter) -> GgufWriter {
    let types: Vec<i32> = (0..N_VOCAB)
        .map(|id| if id < END_OF_TEXT { NORMAL } else { CONTROL })
        .collect();
    let merges: Vec<String> = MERGES
        .iter()
        .map(|(left, right)| format!("{left} {right}"))
        .collect();
    writer
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "qwen2")
        .strings("tokenizer.ggml.tokens", &tokens())
        .i32s("tokenizer.ggml.token_type", &types)
        .strings("tokenizer.ggml.merges", &merges)
        .u32("tokenizer.ggml.eos_token_id", IM_END)
        .u32("tokenizer.ggml.padding_token_id", END_OF_TEXT)
        .bool("tokenizer.ggml.add_bos_token", false)
        .string("tokenizer.chat_template", CHAT_TEMPLATE)
}

/// The same tokenizer as [`tokenizer_keys`].
fn tokenizer_json() -> Value {
    let texts = tokens();
    let vocab: serde_json::Map<String, Value> = texts
        .iter()
        .take(END_OF_TEXT as usize)
        .enumerate()
        .map(|(id, text)| (text.clone(), json!(id)))
        .collect();
    let added: Vec<Value> = SPECIALS
        .iter()
        .zip(END_OF_TEXT..)
        .map(|(text, id)| {
            json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocab,
            "merges": MERGES.iter().map(|(left, right)| json!([left, right])).collect::<Vec<_>>(),
        },
    })
}
