//! OpenAI's `text_completion`, field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokenmill_inference::{FinishReason, TokenLogprob, Usage};

use crate::stream::{ByKind, FoldedChoice};
use crate::tokens::{CompletionUsage, Logprob};

/// What stands in every object of one answer.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) system_fingerprint: Option<String>,
}

/// An answer, or a piece of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TextCompletion")]
pub(super) struct Completion {
    id: String,
    #[schemars(extend("const" = "text_completion"))]
    object: &'static str,
    created: u64,
    model: String,
    system_fingerprint: Option<String>,
    choices: Vec<TextChoice>,
    /// Absent in pieces unless the usage was asked for; then `null` in all but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<CompletionUsage>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TextChoice {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    /// `null` in pieces before the last.
    finish_reason: Option<&'static str>,
}

impl Completion {
    pub(super) fn whole(head: &Head, choices: Vec<TextChoice>, usage: Usage) -> Completion {
        Completion {
            usage: Some(Some(usage.into())),
            ..Completion::piece(head, choices, true)
        }
    }

    pub(super) fn piece(head: &Head, choices: Vec<TextChoice>, with_usage: bool) -> Completion {
        Completion {
            id: head.id.clone(),
            object: "text_completion",
            created: head.created,
            model: head.model.clone(),
            system_fingerprint: head.system_fingerprint.clone(),
            choices,
            usage: with_usage.then_some(None),
        }
    }
}

impl TextChoice {
    pub(super) fn whole(index: usize, choice: FoldedChoice, echoed: &str) -> TextChoice {
        let text = ByKind::of(choice.parts).text;
        let mut part = Part {
            logprobs: text.logprobs,
            n_chars: 0,
        };
        TextChoice {
            index,
            text: format!("{echoed}{}", text.text),
            logprobs: part.take(),
            finish_reason: Some(finish_reason(choice.reason)),
        }
    }

    pub(super) fn piece(index: usize, text: &str) -> TextChoice {
        TextChoice {
            index,
            text: text.to_owned(),
            logprobs: None,
            finish_reason: None,
        }
    }

    pub(super) fn with(self, logprobs: Option<Logprobs>) -> TextChoice {
        TextChoice { logprobs, ..self }
    }

    pub(super) fn end(index: usize, reason: FinishReason) -> TextChoice {
        TextChoice {
            finish_reason: Some(finish_reason(reason)),
            ..TextChoice::piece(index, "")
        }
    }
}

/// How likely each token was: lists side by side.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TextLogprobs")]
pub(super) struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    /// By text, the chosen token among them.
    top_logprobs: Vec<Map<String, Value>>,
    /// Where each token begins, in characters.
    text_offset: Vec<usize>,
}

/// Tokens of a choice that have not been told of yet.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) logprobs: Vec<TokenLogprob>,
    /// Characters before them.
    n_chars: usize,
}

impl Part {
    /// Tells of them; `None` where there are none.
    pub(super) fn take(&mut self) -> Option<Logprobs> {
        let tokens = std::mem::take(&mut self.logprobs);
        if tokens.is_empty() {
            return None;
        }
        let mut told = Logprobs {
            tokens: Vec::new(),
            token_logprobs: Vec::new(),
            top_logprobs: Vec::new(),
            text_offset: Vec::new(),
        };
        for token in tokens {
            let chosen = Logprob::of(&token.token, token.logprob);
            told.text_offset.push(self.n_chars);
            // A character that several tokens share belongs to the first.
            let begins = |byte: &&u8| **byte & 0xc0 != 0x80;
            self.n_chars += token.token.bytes.iter().filter(begins).count();
            told.top_logprobs.push(top(&token, &chosen));
            told.token_logprobs.push(chosen.logprob);
            told.tokens.push(chosen.token);
        }
        Some(told)
    }
}

fn top(token: &TokenLogprob, chosen: &Logprob) -> Map<String, Value> {
    let others = token
        .top
        .iter()
        .map(|(text, logprob)| Logprob::of(text, *logprob));
    let mut top: Map<String, Value> = others.map(|other| (other.token, other.logprob.into())).collect();
    top.insert(chosen.token.clone(), chosen.logprob.into());
    top
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopString(_) | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
    }
}
