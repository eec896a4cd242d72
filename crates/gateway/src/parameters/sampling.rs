//! How tokens are chosen.

use tokenmill_inference::RequestSampling;

use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "temperature",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":0,"maximum":2}"#,
        about: "0 always takes the likeliest token",
        default: "the model's own, else 1",
        taken: "[0, 0.5, 2]",
        refused: r#"[-0.1, 2.1, "hot"]"#,
    },
    Parameter {
        name: "top_p",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","exclusiveMinimum":0,"maximum":1}"#,
        about: "over 0, up to 1: keeps the likeliest tokens that together have this probability",
        default: "the model's own, else 1",
        taken: "[0.5, 1]",
        refused: "[0, 1.5, true]",
    },
    Parameter {
        name: "top_k",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":-1,"maximum":4294967295}"#,
        about: "keeps this many of the likeliest tokens; 0 and -1 keep all",
        default: "the model's own, else 0",
        taken: "[0, -1, 40]",
        refused: "[-2, 1.5, 4294967296]",
    },
    Parameter {
        name: "min_p",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":0,"maximum":1}"#,
        about: "keeps tokens at least this likely relative to the likeliest",
        default: "the model's own, else 0",
        taken: "[0.05, 1]",
        refused: r#"[-0.1, 1.1, "x"]"#,
    },
    Parameter {
        name: "presence_penalty",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":-2,"maximum":2}"#,
        about: "taken once from each token that the answer has",
        default: "0",
        taken: "[-2, 1.5]",
        refused: "[-2.1, 3, []]",
    },
    Parameter {
        name: "frequency_penalty",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":-2,"maximum":2}"#,
        about: "taken from each token for every time that the answer has it",
        default: "0",
        taken: "[-2, 1.5]",
        refused: "[-2.1, 3, {}]",
    },
    Parameter {
        name: "repetition_penalty",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"number","exclusiveMinimum":0,"maximum":10}"#,
        about: "over 0, up to 10: makes tokens of prompt and answer less likely; 1 changes nothing",
        default: "the model's own, else 1",
        taken: "[0.5, 1.1]",
        refused: "[0, 10.5, false]",
    },
    Parameter {
        name: "logit_bias",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"object","maxProperties":1024,"propertyNames":{"pattern":"^(0|[1-9][0-9]*)$"},"additionalProperties":{"type":"number","minimum":-100,"maximum":100}}"#,
        about: "token ids, as strings, with -100 to 100; up to 1,024",
        default: "none",
        taken: r#"[{"7": -100, "9": 2.5}]"#,
        refused: r#"[[1], {"x": 1}, {"+7": 1}, {"7": "1"}, {"7": 101}]"#,
    },
    Parameter {
        name: "seed",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":-9223372036854775808,"maximum":18446744073709551615}"#,
        about: "a whole number of 64 bits; the same seed gives the same answer",
        default: "drawn anew",
        taken: "[7, -1, 18446744073709551615]",
        refused: r#"[0.5, "7", 1e300]"#,
    },
];

/// Reads those of the group that the body's table has.
pub(crate) fn read(fields: &mut Fields) -> Result<RequestSampling, ApiError> {
    let mut number = |name| fields.offered(name, |value, path| value.number(path));
    Ok(RequestSampling {
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        min_p: number("min_p")?,
        presence_penalty: number("presence_penalty")?,
        frequency_penalty: number("frequency_penalty")?,
        repetition_penalty: number("repetition_penalty")?,
        top_k: fields.offered("top_k", |value, path| top_k(&value, path))?,
        logit_bias: fields.offered("logit_bias", logit_bias)?.unwrap_or_default(),
        seed: fields.offered("seed", |value, path| seed(&value, path))?,
    })
}

/// vLLM and Hugging Face write "keep all" as -1; 0 means the same.
fn top_k(value: &Json, path: &str) -> Result<u32, ApiError> {
    match value {
        Json::Number(number) if number.as_i64() == Some(-1) => Ok(0),
        _ => value.integer(path, 0, u32::MAX),
    }
}

/// Any 64-bit integer; a negative one counts as the unsigned one with the same bits.
fn seed(value: &Json, path: &str) -> Result<u64, ApiError> {
    match value {
        Json::Number(number) => number
            .as_u64()
            .or_else(|| number.as_i64().map(i64::cast_unsigned))
            .ok_or_else(|| value.wrong_type(path, "an integer of at most 64 bits")),
        other => Err(other.wrong_type(path, "an integer of at most 64 bits")),
    }
}

fn logit_bias(value: Json, path: &str) -> Result<Vec<(u32, f32)>, ApiError> {
    let Json::Object(entries) = value else {
        return Err(value.wrong_type(path, "an object from token id to number"));
    };
    let entry = |(token, bias): (String, Json)| {
        let entry_path = format!("{path}.{}", clip(&token));
        // "+7" and "007" are not how a token id is written.
        let id = token.parse::<u32>().ok().filter(|id| id.to_string() == token);
        let id = id.ok_or_else(|| {
            let message = format!("'{entry_path}': the key must be a token id, a decimal number as a string");
            ApiError::parameter("invalid_value", entry_path.clone(), message)
        })?;
        Ok((id, bias.number(&entry_path)?))
    };
    entries.into_iter().map(entry).collect()
}
