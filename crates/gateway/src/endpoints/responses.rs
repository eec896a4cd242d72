//! `POST /v1/responses`: OpenAI's Responses without its memory, translated to the same request and from the same events
//! as a chat.

mod events;
mod items;
mod request;
mod response;

use axum::response::Response;

use crate::error::ApiError;
use crate::generate::Call;
use crate::openapi::{Reply, schema};
use events::{EventFrames, Numbered};
use items::OutputItem;
use request::{Names, ResponsesRequest};
use response::{Asked, ResponseBody};

pub(super) use request::PARAMETERS;

/// What comes back.
pub(super) const REPLIES: &[Reply] = &[
    Reply::json(schema::<ResponseBody>),
    Reply::events(schema::<Numbered<'static>>, ", each with its name and number"),
];

/// Answers one request.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    let (body, waiting) = call.read(ResponsesRequest::parse).await?;
    let ResponsesRequest {
        draft,
        origins,
        is_text,
        offered,
        stream,
        cache_salt,
        told,
    } = body;
    let mut echo = Asked::new(&draft, told);
    let names = Names {
        origins,
        is_text,
        tools: offered.paths.clone(),
    };
    let waiting = waiting.naming(move |name| names.of(name));
    let running = waiting.start(draft, cache_salt.as_deref()).await?;
    echo.model.clone_from(&running.model);
    if stream {
        return Ok(running.streamed(EventFrames::new(echo, offered)));
    }
    running
        .whole(move |folded| {
            let (output, ending) = OutputItem::all(folded.choices, &offered);
            ResponseBody::finished(echo, output, ending, folded.usage)
        })
        .await
}
