//! What the metadata of a GGUF file say about tokenizer and sampling.

use crate::file::gguf::{Gguf, GgufError, GgufFault, Place, Value};
use crate::generation::GenerationDefaults;
use crate::tokenizer_source::GgufTokenizer;

/// Most tokens. The largest vocabularies of today have some 260,000.
const MAX_TOKENS: usize = 4 << 20;
/// Most merges.
const MAX_MERGES: usize = 16 << 20;

/// Arrays whose entries take more memory once read than in the file have at most so many.
fn check_lengths(gguf: &Gguf<'_>) -> Result<(), GgufError> {
    for (name, limit) in [
        ("tokenizer.ggml.tokens", MAX_TOKENS),
        ("tokenizer.ggml.scores", MAX_TOKENS),
        ("tokenizer.ggml.token_type", MAX_TOKENS),
        ("tokenizer.ggml.merges", MAX_MERGES),
    ] {
        if let Some(Value::Array(array)) = gguf.get(name)
            && array.len() > limit
        {
            let fault = GgufFault::TooMany {
                what: "entries",
                count: array.len() as u64,
                limit: limit as u64,
            };
            return Err(GgufError {
                place: Place::Key(name.to_owned()),
                fault,
            });
        }
    }
    Ok(())
}

/// Reads all `tokenizer.ggml.*` fields and checks that they fit each other.
pub(crate) fn tokenizer(gguf: &Gguf<'_>) -> Result<GgufTokenizer, GgufError> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let missing = |name: &str| GgufError {
        place: Place::Key(key(name)),
        fault: GgufFault::Missing,
    };
    check_lengths(gguf)?;
    let tokens = gguf.strings(&key("tokens"))?.ok_or_else(|| missing("tokens"))?;
    let per_token = |name: &str, found: usize| match found {
        0 => Ok(()),
        found if found == tokens.len() => Ok(()),
        found => Err(GgufError {
            place: Place::Key(key(name)),
            fault: GgufFault::Length {
                found,
                expected: tokens.len(),
            },
        }),
    };
    let scores = gguf.f32s(&key("scores"))?.unwrap_or_default();
    per_token("scores", scores.len())?;
    let token_types = gguf.i32s(&key("token_type"))?.unwrap_or_default();
    per_token("token_type", token_types.len())?;
    let id = |name: &str| match gguf.u32(&key(name))? {
        Some(id) if id as usize >= tokens.len() => Err(GgufError {
            place: Place::Key(key(name)),
            fault: GgufFault::TokenId {
                id,
                n_tokens: tokens.len(),
            },
        }),
        id => Ok(id),
    };
    let separator_token_id = match id("seperator_token_id")? {
        Some(id) => Some(id),
        None => id("separator_token_id")?,
    };
    Ok(GgufTokenizer {
        model: gguf
            .string(&key("model"))?
            .ok_or_else(|| missing("model"))?
            .to_owned(),
        pre: gguf.string(&key("pre"))?.map(str::to_owned),
        merges: gguf.strings(&key("merges"))?.unwrap_or_default(),
        bos_token_id: id("bos_token_id")?,
        eos_token_id: id("eos_token_id")?,
        eot_token_id: id("eot_token_id")?,
        eom_token_id: id("eom_token_id")?,
        unknown_token_id: id("unknown_token_id")?,
        separator_token_id,
        padding_token_id: id("padding_token_id")?,
        add_bos_token: gguf.bool(&key("add_bos_token"))?,
        add_eos_token: gguf.bool(&key("add_eos_token"))?,
        add_sep_token: gguf.bool(&key("add_sep_token"))?,
        add_space_prefix: gguf.bool(&key("add_space_prefix"))?,
        remove_extra_whitespaces: gguf.bool(&key("remove_extra_whitespaces"))?,
        precompiled_charsmap: gguf.byte_array(&key("precompiled_charsmap"))?.map(<[u8]>::to_vec),
        tokens,
        scores,
        token_types,
    })
}

/// Control tokens that end an answer in the families that we support. Many files name only one of theirs as the
/// end, and another one ends the turns of their chat template.
const END_TOKENS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end_of_turn|>",
];
/// `tokenizer.ggml.token_type` of control tokens.
const CONTROL: i32 = 3;

/// Sampling defaults, and the tokens that end an answer.
pub(crate) fn generation(
    gguf: &Gguf<'_>,
    tokenizer: &GgufTokenizer,
) -> Result<GenerationDefaults, GgufError> {
    let mut eos_token_ids: Vec<u32> = [
        tokenizer.eos_token_id,
        tokenizer.eot_token_id,
        tokenizer.eom_token_id,
    ]
    .into_iter()
    .flatten()
    .collect();
    for (id, token) in tokenizer.tokens.iter().enumerate() {
        if tokenizer.token_types.get(id) == Some(&CONTROL) && END_TOKENS.contains(&token.as_str()) {
            eos_token_ids.push(id as u32);
        }
    }
    let mut defaults = GenerationDefaults {
        temperature: gguf.f32("general.sampling.temp")?,
        top_p: gguf.f32("general.sampling.top_p")?,
        top_k: gguf.u32("general.sampling.top_k")?,
        min_p: gguf.f32("general.sampling.min_p")?,
        repetition_penalty: gguf.f32("general.sampling.penalty_repeat")?,
        eos_token_ids,
    };
    defaults.normalise();
    Ok(defaults)
}

#[cfg(test)]
mod tests {
    use tokenmill_testkit::gguf::GgufWriter;
    use tokenmill_testkit::tiny_model::{END_OF_TEXT, IM_END, TinyModel};

    use super::*;

    fn read(writer: &GgufWriter) -> Result<GenerationDefaults, GgufError> {
        let bytes = writer.bytes();
        let gguf = Gguf::parse(&bytes)?;
        generation(&gguf, &tokenizer(&gguf)?)
    }

    #[test]
    fn sampling_keys_and_all_end_tokens_are_found() {
        let file = TinyModel::new("qwen3", 1)
            .gguf()
            .f32("general.sampling.temp", 0.6)
            .f32("general.sampling.top_p", 0.95)
            .u32("general.sampling.top_k", 20)
            .f32("general.sampling.min_p", -1.0)
            .u32("tokenizer.ggml.eot_token_id", 7);
        let defaults = read(&file).unwrap();
        assert_eq!(defaults.temperature, Some(0.6));
        assert_eq!((defaults.top_p, defaults.top_k), (Some(0.95), Some(20)));
        assert_eq!(defaults.min_p, None, "below its range");
        assert_eq!(defaults.eos_token_ids, [7, END_OF_TEXT, IM_END]);
    }

    #[test]
    fn arrays_of_other_lengths_than_the_tokens_are_refused() {
        let file = GgufWriter::new()
            .string("tokenizer.ggml.model", "gpt2")
            .strings("tokenizer.ggml.tokens", &["a", "b"])
            .f32s("tokenizer.ggml.scores", &[1.0]);
        let message = read(&file).unwrap_err().to_string();
        assert!(
            message.contains("tokenizer.ggml.scores") && message.contains("1 entries"),
            "{message}"
        );
    }
}
