//! OpenAI's `response`, field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokenmill_inference::{Draft, Effort, FinishReason, Usage};

use super::items::{OutputItem, Status};
use super::request::Told;
use crate::error::ApiError;
use crate::generate::now_s;
use crate::parameters::responses::tools::{echo, echo_choice};
use crate::random_id;

/// What was asked, as every object of the answer tells it back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Asked {
    id: String,
    #[schemars(extend("const" = "response"))]
    object: &'static str,
    created_at: u64,
    pub(super) model: String,
    background: bool,
    instructions: Value,
    max_output_tokens: Option<u32>,
    max_tool_calls: (),
    metadata: Value,
    parallel_tool_calls: bool,
    previous_response_id: (),
    reasoning: AskedReasoning,
    service_tier: &'static str,
    store: bool,
    /// `null` where it is the model's own.
    temperature: Option<f32>,
    text: AskedText,
    tool_choice: Value,
    tools: Value,
    top_logprobs: u32,
    /// `null` where it is the model's own.
    top_p: Option<f32>,
    truncation: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct AskedReasoning {
    effort: Option<&'static str>,
    summary: Value,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct AskedText {
    format: Value,
    verbosity: &'static str,
}

impl Asked {
    pub(super) fn new(draft: &Draft, told: Told) -> Asked {
        let form = &draft.form;
        Asked {
            id: random_id("resp_"),
            object: "response",
            created_at: now_s(),
            model: draft.model.clone(),
            background: false,
            instructions: told.instructions,
            max_output_tokens: draft.max_tokens,
            max_tool_calls: (),
            metadata: told.metadata,
            parallel_tool_calls: !form.one_call_only,
            previous_response_id: (),
            reasoning: AskedReasoning {
                effort: form.effort.map(Effort::name),
                summary: told.reasoning_summary,
            },
            service_tier: "default",
            store: false,
            temperature: draft.sampling.temperature,
            text: AskedText {
                format: told.text_format,
                verbosity: "medium",
            },
            tool_choice: echo_choice(form),
            tools: told.namespaced_tools.unwrap_or_else(|| echo(form)),
            top_logprobs: draft.top_logprobs.unwrap_or(0),
            top_p: draft.sampling.top_p,
            truncation: "disabled",
        }
    }
}

/// A response, as far as it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Response")]
pub(super) struct ResponseBody {
    #[serde(flatten)]
    asked: Asked,
    status: Status,
    completed_at: Option<u64>,
    error: Option<ResponseError>,
    incomplete_details: Option<IncompleteDetails>,
    output: Vec<OutputItem>,
    usage: Option<ResponseUsage>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ResponseError {
    code: &'static str,
    message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct IncompleteDetails {
    reason: &'static str,
}

impl ResponseBody {
    /// Before anything has come.
    pub(super) fn begun(asked: Asked) -> ResponseBody {
        ResponseBody {
            asked,
            status: Status::InProgress,
            completed_at: None,
            error: None,
            incomplete_details: None,
            output: Vec::new(),
            usage: None,
        }
    }

    /// With all that came.
    pub(super) fn finished(
        asked: Asked,
        output: Vec<OutputItem>,
        reason: FinishReason,
        usage: Usage,
    ) -> ResponseBody {
        let is_cut = reason == FinishReason::Length;
        let reason = "max_output_tokens";
        ResponseBody {
            status: if is_cut {
                Status::Incomplete
            } else {
                Status::Completed
            },
            completed_at: (!is_cut).then(now_s),
            incomplete_details: is_cut.then_some(IncompleteDetails { reason }),
            output,
            usage: Some(usage.into()),
            ..ResponseBody::begun(asked)
        }
    }

    /// With what came before there was no more.
    pub(super) fn failed(asked: Asked, output: Vec<OutputItem>, error: &ApiError) -> ResponseBody {
        ResponseBody {
            status: Status::Failed,
            error: Some(ResponseError {
                code: "server_error",
                message: error.message.clone(),
            }),
            output,
            ..ResponseBody::begun(asked)
        }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct ResponseUsage {
    input_tokens: u64,
    input_tokens_details: InputTokensDetails,
    output_tokens: u64,
    output_tokens_details: OutputTokensDetails,
    total_tokens: u64,
}

/// Clients take these numbers for given: one that is not known is 0.
#[derive(Debug, Serialize, JsonSchema)]
struct InputTokensDetails {
    cached_tokens: u64,
    /// Nothing is charged for keeping prompts.
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResponseOutputTokensDetails")]
struct OutputTokensDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for ResponseUsage {
    fn from(usage: Usage) -> ResponseUsage {
        ResponseUsage {
            input_tokens: usage.n_prompt,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.n_cached.unwrap_or(0),
                cache_write_tokens: 0,
            },
            output_tokens: usage.n_completion,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: usage.n_reasoning.unwrap_or(0),
            },
            total_tokens: usage.n_prompt.saturating_add(usage.n_completion),
        }
    }
}
