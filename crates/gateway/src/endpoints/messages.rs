//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's Messages, translated to the same request and from
//! the same events as a chat.

mod events;
mod request;
mod response;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::error::ApiError;
use crate::generate::Call;
use crate::openapi::{Reply, schema};
use events::{EventFrames, MessageEvent};
use request::{MessagesRequest, Names};
use response::{Ending, Head, TokenCount, WholeMessage};

pub(super) use request::{COUNT_PARAMETERS, PARAMETERS};

/// What comes back.
pub(super) const REPLIES: &[Reply] = &[
    Reply::json(schema::<WholeMessage>),
    Reply::events(schema::<MessageEvent<'static>>, ", each with its name"),
];

/// What comes back of a count.
pub(super) const COUNT_REPLIES: &[Reply] = &[Reply::json(schema::<TokenCount>)];

/// Versions of the interface, which say the same in all that is taken here. Without the header it is any of them.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// Answers one request.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    check_version(call.headers())?;
    let (body, asked) = call.read(MessagesRequest::parse).await?;
    let MessagesRequest {
        draft,
        origins,
        stream,
        shows_thinking,
    } = body;
    let ending = Ending {
        max_tokens: draft.max_tokens,
        stops: draft.stop.clone(),
    };
    let request_id = asked.request_id().to_owned();
    let names = Names(origins);
    let asked = asked.naming(move |name| names.of(name));
    let running = asked.start(draft, None).await?;
    let head = Head::new(running.model.clone(), shows_thinking);
    if stream {
        return Ok(running.streamed(EventFrames::new(head, ending, request_id)));
    }
    running
        .whole(|folded| WholeMessage::new(head, &ending, folded))
        .await
}

/// Counts the tokens of a prompt, as the same request would have them.
pub(super) async fn count_tokens(call: Call) -> Result<Response, ApiError> {
    check_version(call.headers())?;
    let (body, asked) = call.read(MessagesRequest::parse_for_count).await?;
    let names = Names(body.origins);
    let looking = asked
        .naming(move |name| names.of(name))
        .look(body.draft.model.clone())
        .await?;
    let request = looking.check(body.draft)?;
    let counted = looking.prompts()?.tokens(request).await;
    let input_tokens = counted.map_err(|error| looking.refuse(error))?.len();
    Ok(looking.answer(TokenCount { input_tokens }))
}

/// Names of betas in `anthropic-beta` change nothing here: each field that one brings is checked by itself.
fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get("anthropic-version") {
        Some(version) if VERSIONS.iter().all(|known| version != known) => {
            let message = format!(
                "The anthropic-version header must be {}, or left out",
                VERSIONS.join(" or ")
            );
            Err(ApiError::parameter(
                "unsupported_value",
                "anthropic-version",
                message,
            ))
        }
        _ => Ok(()),
    }
}
