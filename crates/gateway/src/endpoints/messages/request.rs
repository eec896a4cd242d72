//! The body of `POST /v1/messages` to an inference [`Draft`]: every field honoured, or refused by name.

use tokenmill_inference::{Draft, Prompt};

use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::anthropic::{conversation, ending, thinking, tools, without_effect};
use crate::parameters::ending::{flag, limit};
use crate::parameters::{Group, MODEL, name, sampling};

/// What the body may hold.
pub(in crate::endpoints) const PARAMETERS: &[Group] = &[
    MODEL,
    conversation::ROWS,
    ending::ROWS,
    tools::ROWS,
    thinking::ROWS,
    without_effect::ROWS,
];

/// What the body of a count may hold.
pub(in crate::endpoints) const COUNT_PARAMETERS: &[Group] = &[
    MODEL,
    conversation::ROWS,
    tools::ROWS,
    thinking::ROWS,
    without_effect::ROWS,
];

/// A body that has been read; its ranges are checked by [`Draft::check`].
pub(super) struct MessagesRequest {
    pub(super) draft: Draft,
    /// Of each message of the draft, its place in the body.
    pub(super) origins: Vec<Option<usize>>,
    pub(super) stream: bool,
    pub(super) shows_thinking: bool,
}

impl MessagesRequest {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<MessagesRequest, ApiError> {
        MessagesRequest::read(body, PARAMETERS)
    }

    /// Reads the body of a count, which has no fields about the answer.
    pub(super) fn parse_for_count(body: &[u8]) -> Result<MessagesRequest, ApiError> {
        MessagesRequest::read(body, COUNT_PARAMETERS)
    }

    fn read(body: &[u8], rows: &'static [Group]) -> Result<MessagesRequest, ApiError> {
        let mut fields = Json::body(body, rows)?;
        let model = name(fields.require("model")?, "model")?;
        let (conversation, origins) = conversation::of_turns(conversation::read(&mut fields)?);
        let mut draft = Draft::on(model, Prompt::Conversation(conversation));
        tools::read(&mut fields, &mut draft.form)?;
        let shows_thinking = thinking::read(&mut fields, &mut draft.form)?;
        let mut stream = false;
        if fields.has_row("max_tokens") {
            draft.max_tokens = limit(&mut fields, "max_tokens")?;
            if draft.max_tokens.is_none() {
                fields.require("max_tokens")?;
            }
            draft.may_end_with_context = true;
            draft.stop = ending::stop_sequences(&mut fields)?;
            draft.sampling = sampling::read(&mut fields)?;
            stream = flag(&mut fields, "stream", false)?;
        }
        without_effect::check(&mut fields)?;
        fields.finish_body()?;
        Ok(MessagesRequest {
            draft,
            origins,
            stream,
            shows_thinking,
        })
    }
}

/// What the body calls the fields of a draft.
pub(super) struct Names(pub(super) Vec<Option<usize>>);

impl Names {
    pub(super) fn of(&self, ours: &str) -> Option<String> {
        if let Some(rest) = ours.strip_prefix("messages[") {
            return self.message(rest);
        }
        if let Some(rest) = ours.strip_prefix("stop[") {
            return Some(format!("stop_sequences[{rest}"));
        }
        if let Some((tool, field)) = ours.split_once(".function.") {
            let field = match field {
                "parameters" => "input_schema",
                other => other,
            };
            return Some(format!("{tool}.{field}"));
        }
        let theirs = match ours {
            "max_completion_tokens" => "max_tokens",
            "stop" => "stop_sequences",
            "reasoning_effort" => "output_config.effort",
            "max_reasoning_tokens" => "thinking.budget_tokens",
            "continue_final_message" => "messages",
            _ => return None,
        };
        Some(theirs.to_owned())
    }

    fn message(&self, rest: &str) -> Option<String> {
        let (idx, field) = rest.split_once(']')?;
        let origin = self.0.get(idx.parse::<usize>().ok()?)?;
        Some(match origin {
            Some(origin) if field.is_empty() => format!("messages[{origin}]"),
            Some(origin) => format!("messages[{origin}].content"),
            None => "system".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_names_of_the_body() {
        let names = Names(vec![None, Some(0), Some(0), Some(2)]);
        for (ours, theirs) in [
            ("messages[0].name", Some("system")),
            ("messages[3].tool_calls", Some("messages[2].content")),
            ("stop[1]", Some("stop_sequences[1]")),
            ("max_completion_tokens", Some("max_tokens")),
            ("tools[1].function.parameters", Some("tools[1].input_schema")),
            ("tools[1].function.name", Some("tools[1].name")),
            ("temperature", None),
            ("messages", None),
        ] {
            assert_eq!(names.of(ours).as_deref(), theirs, "{ours}");
        }
    }

    #[test]
    fn a_count_has_no_fields_about_the_answer() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":3}"#;
        let error = MessagesRequest::parse_for_count(body).err().expect("refused");
        assert_eq!(error.param.as_deref(), Some("max_tokens"));
        assert!(MessagesRequest::parse(body).is_ok());
    }
}
