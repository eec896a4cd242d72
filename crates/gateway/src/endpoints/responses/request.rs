//! The body of `POST /v1/responses` to an inference [`Draft`]: every field honoured, or refused by name.

use serde_json::{Value, json};
use tokenmill_inference::{Conversation, Draft, Prompt};

use crate::error::ApiError;
use crate::json::{Fields, Json};
use crate::parameters::ending::{flag, limit};
use crate::parameters::responses::tools::Offered;
use crate::parameters::responses::{form, input, state, tools};
use crate::parameters::{Group, MODEL, caching, name, sampling, streaming, without_effect};

/// What the body may hold.
pub(in crate::endpoints) const PARAMETERS: &[Group] = &[
    MODEL,
    input::ROWS,
    tools::ROWS,
    form::ROWS,
    caching::ROWS,
    streaming::STREAM,
    without_effect::USER,
    without_effect::OPENAI,
    without_effect::METADATA,
    state::ROWS,
];

/// A body that has been read; its ranges are checked by [`Draft::check`].
pub(super) struct ResponsesRequest {
    pub(super) draft: Draft,
    /// Of each message of the draft, its place in `input`.
    pub(super) origins: Vec<Option<usize>>,
    /// Whether `input` is a text and has no places.
    pub(super) is_text: bool,
    pub(super) offered: Offered,
    pub(super) stream: bool,
    pub(super) cache_salt: Option<String>,
    pub(super) told: Told,
}

/// What the answer only tells back.
pub(super) struct Told {
    /// As they were sent, where there are namespaces.
    pub(super) namespaced_tools: Option<Value>,
    pub(super) instructions: Value,
    pub(super) metadata: Value,
    pub(super) text_format: Value,
    pub(super) reasoning_summary: Value,
}

impl ResponsesRequest {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<ResponsesRequest, ApiError> {
        let json = Json::parse(body)?;
        let field = |name: &str| match &json {
            Json::Object(fields) => fields.get(name).cloned().map(Json::into_value),
            _ => None,
        };
        let (instructions, metadata) = (field("instructions"), field("metadata"));
        let summary = field("reasoning").and_then(|mut reasoning| Some(reasoning.get_mut("summary")?.take()));
        let is_text = field("input").is_some_and(|input| input.is_string());
        let sent_tools = field("tools");
        let mut fields = json.into_body(PARAMETERS)?;
        let model = name(fields.require("model")?, "model")?;
        let turns = input::read(&mut fields)?;
        let (mut draft, offered, text_format) = draft(model, turns.messages, &mut fields)?;
        draft.top_logprobs = form::logprobs(&mut fields)?;
        let cache_salt = caching::read(&mut fields)?;
        let stream = flag(&mut fields, "stream", false)?;
        without_effect::check(&mut fields)?;
        state::check(&mut fields)?;
        fields.finish_body()?;
        Ok(ResponsesRequest {
            draft,
            origins: turns.origins,
            is_text,
            offered: offered.clone(),
            stream,
            cache_salt,
            told: Told {
                namespaced_tools: sent_tools.filter(|_| offered.has_namespaces()),
                instructions: instructions.unwrap_or_default(),
                metadata: metadata.filter(Value::is_object).unwrap_or_else(|| json!({})),
                text_format,
                reasoning_summary: summary.unwrap_or_default(),
            },
        })
    }
}

fn draft(
    model: String,
    messages: Vec<tokenmill_inference::Message>,
    fields: &mut Fields,
) -> Result<(Draft, Offered, Value), ApiError> {
    let mut draft = Draft::on(model, Prompt::Conversation(Conversation::new(messages)));
    let offered = tools::read(fields, &mut draft.form)?;
    let text_format = form::text(fields, &mut draft.form)?;
    form::reasoning(fields, &mut draft.form)?;
    draft.max_tokens = limit(fields, "max_output_tokens")?;
    draft.sampling = sampling::read(fields)?;
    Ok((draft, offered, text_format))
}

/// What the body calls the fields of a draft.
pub(super) struct Names {
    pub(super) origins: Vec<Option<usize>>,
    pub(super) is_text: bool,
    /// The path of each function.
    pub(super) tools: Vec<String>,
}

impl Names {
    pub(super) fn of(&self, ours: &str) -> Option<String> {
        if let Some(rest) = ours.strip_prefix("messages[") {
            return self.message(rest);
        }
        if let Some((tool, field)) = ours.split_once(".function.") {
            let idx = tool.strip_prefix("tools[")?.strip_suffix(']')?;
            let path = self.tools.get(idx.parse::<usize>().ok()?)?;
            return Some(format!("{path}.{field}"));
        }
        let theirs = match ours {
            "messages" => "input",
            "max_completion_tokens" => "max_output_tokens",
            "reasoning_effort" => "reasoning.effort",
            _ => return None,
        };
        Some(theirs.to_owned())
    }

    fn message(&self, rest: &str) -> Option<String> {
        let (idx, _) = rest.split_once(']')?;
        Some(match self.origins.get(idx.parse::<usize>().ok()?)? {
            None => "instructions".to_owned(),
            Some(_) if self.is_text => "input".to_owned(),
            Some(origin) => format!("input[{origin}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_names_of_the_body() {
        let names = Names {
            origins: vec![None, Some(0), Some(3)],
            is_text: false,
            tools: vec!["tools[0]".to_owned(), "tools[1].tools[0]".to_owned()],
        };
        for (ours, theirs) in [
            ("messages[0].name", Some("instructions")),
            ("messages[2].tool_calls", Some("input[3]")),
            ("messages", Some("input")),
            ("max_completion_tokens", Some("max_output_tokens")),
            (
                "tools[1].function.parameters",
                Some("tools[1].tools[0].parameters"),
            ),
            ("temperature", None),
        ] {
            assert_eq!(names.of(ours).as_deref(), theirs, "{ours}");
        }
    }
}
