//! Requests to identity providers: short, small, and never led elsewhere.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::Fault;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read: descriptions and keys of known providers have up to some tens of kilobytes.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Asks providers; clones share their connections.
#[derive(Clone)]
pub(super) struct Fetcher(Result<Client, String>);

impl Fetcher {
    pub(super) fn new() -> Fetcher {
        let client = Client::builder()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .user_agent(concat!("tokenmill/", env!("CARGO_PKG_VERSION")))
            .build();
        // Without the system's certificates, say. The server runs on, and the log of each sign-in tells.
        Fetcher(client.map_err(|error| chain(&error)))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Fault> {
        let client = self
            .0
            .as_ref()
            .map_err(|fault| Fault::Unavailable(fault.clone()))?;
        let (status, bytes) = send(client.get(url.clone())).await?;
        if status != StatusCode::OK {
            return Err(Fault::Unavailable(format!("{url} answered {status}")));
        }
        read(url, &bytes)
    }

    /// Sends a form, and with it the client's name and secret in the header where they go there.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        client_auth: Option<(&str, &str)>,
    ) -> Result<T, Fault> {
        let client = self
            .0
            .as_ref()
            .map_err(|fault| Fault::Unavailable(fault.clone()))?;
        let mut request = client.post(url.clone()).form(form);
        if let Some((id, secret)) = client_auth {
            // The standard has both encoded as in a form first (RFC 6749, 2.3.1).
            request = request.basic_auth(form_encoded(id), Some(form_encoded(secret)));
        }
        let (status, bytes) = send(request).await?;
        match status {
            StatusCode::OK => read(url, &bytes),
            status if status.is_client_error() => Err(Fault::CodeRefused(error_code(status, &bytes))),
            status => Err(Fault::Unavailable(format!("{url} answered {status}"))),
        }
    }
}

async fn send(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Fault> {
    let unavailable = |error: reqwest::Error| Fault::Unavailable(chain(&error));
    let mut response = request.send().await.map_err(unavailable)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            let fault = format!("{} answered more than {MAX_ANSWER_BYTES} bytes", response.url());
            return Err(Fault::Unavailable(fault));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((response.status(), bytes))
}

/// Serde's messages may quote what they read, which may be a token: only the place is told.
fn read<T: DeserializeOwned>(url: &Url, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::Unavailable(format!("the answer of {url} cannot be read at {line}:{column}"))
    })
}

/// The provider's word for what is wrong, as in `invalid_grant`; nothing else that it may have sent.
fn error_code(status: StatusCode, bytes: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let code = answer["error"].as_str().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    let code: String = code.chars().take_while(|&c| is_word(c)).take(40).collect();
    format!("{status} {code}")
}

fn form_encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// An error with its causes, which say most.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_encoded_as_in_a_form() {
        assert_eq!(form_encoded("a b:c%d+é"), "a+b%3Ac%25d%2B%C3%A9");
    }

    #[test]
    fn of_a_refusal_only_the_word_is_told() {
        let told = |body: &str| error_code(StatusCode::BAD_REQUEST, body.as_bytes());
        assert_eq!(
            told(r#"{"error":"invalid_grant","error_description":"code abc"}"#),
            "400 Bad Request invalid_grant"
        );
        assert_eq!(told(r#"{"error":"se cret"}"#), "400 Bad Request se");
        assert_eq!(told("<html>"), "400 Bad Request ");
    }
}
