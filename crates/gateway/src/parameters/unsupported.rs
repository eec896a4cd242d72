//! What other servers know and this one does not. Refused by name, so that nobody believes it was applied.

use super::{Group, Origin, Parameter};

/// The rows. Sorted.
pub(crate) const CHAT: Group = &[
    Parameter::refused("allowed_token_ids", Origin::Vllm, "[1]", "use `logit_bias`"),
    Parameter::refused("audio", Origin::OpenAi, "[1]", "there is no sound"),
    Parameter::refused(
        "chat_template",
        Origin::Vllm,
        "[1]",
        "templates come with the model",
    ),
    Parameter::refused("choice", Origin::Vllm, "[1]", ""),
    Parameter::refused("documents", Origin::Vllm, "[1]", "put them into a message"),
    Parameter::refused("enable_thinking", Origin::Vllm, "[1]", ""),
    Parameter::refused("function_call", Origin::OpenAi, "[1]", "use `tool_choice`"),
    Parameter::refused("functions", Origin::OpenAi, "[1]", "use `tools`"),
    Parameter::refused("grammar", Origin::Vllm, "[1]", ""),
    Parameter::refused("guided_decoding_backend", Origin::Vllm, "[1]", ""),
    Parameter::refused("include_reasoning", Origin::Vllm, "[1]", ""),
    Parameter::refused("kv_transfer_params", Origin::Vllm, "[1]", ""),
    Parameter::refused("prediction", Origin::OpenAi, "[1]", ""),
    Parameter::refused("prompt_logprobs", Origin::Vllm, "[1]", ""),
    Parameter::refused("reasoning", Origin::Vllm, "[1]", ""),
    Parameter::refused("regex", Origin::Vllm, "[1]", ""),
    Parameter::refused("request_id", Origin::Vllm, "[1]", "use the header `x-request-id`"),
    Parameter::refused("thinking", Origin::Vllm, "[1]", ""),
    Parameter::refused(
        "truncate_prompt_tokens",
        Origin::Vllm,
        "[1]",
        "a prompt is never cut",
    ),
    Parameter::refused("vllm_xargs", Origin::Vllm, "[1]", ""),
    Parameter::refused("web_search_options", Origin::OpenAi, "[1]", ""),
];
