//! Why somebody cannot be signed in with a provider, and what they are told.

use axum::http::StatusCode;
use tokenmill_accounts::{AttemptError, IdentityError};

use super::IdentityProvider;
use crate::error::ApiError;

/// What goes wrong on the way. Texts are for the log, and have no code, token or secret in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It does not answer, or not as a provider does.
    #[error("{0}")]
    Unavailable(String),
    /// It does not take the code.
    #[error("the token endpoint refused: {0}")]
    CodeRefused(String),
    /// Its token is not good.
    #[error("the ID token is not good: {0}")]
    BadToken(String),
    /// A verified mail address is needed, and it tells none.
    #[error("no verified mail address is told")]
    NoMail,
    /// The mail address is of a domain that is not let in.
    #[error("addresses of {0} are not let in")]
    Domain(String),
}

impl Fault {
    /// As whoever signs in sees it.
    pub(crate) fn shown(self, provider: &IdentityProvider) -> ApiError {
        let label = &provider.label;
        let refused = |code, message| ApiError::sign_in(StatusCode::FORBIDDEN, code, message);
        let detail = format!("{}: {self}", provider.id);
        let error = match self {
            Fault::Unavailable(_) => ApiError::sign_in(
                StatusCode::SERVICE_UNAVAILABLE,
                "identity_provider_unavailable",
                format!("{label} cannot be reached just now; try again later, or sign in with your password"),
            ),
            Fault::CodeRefused(_) => refused(
                "sign_in_refused",
                format!("{label} did not confirm this sign-in; begin again"),
            ),
            Fault::BadToken(_) => refused(
                "sign_in_not_verified",
                format!("What {label} said of you could not be verified; tell whoever runs this server"),
            ),
            Fault::NoMail => no_mail(label),
            Fault::Domain(domain) => refused(
                "mail_domain_not_allowed",
                format!(
                    "Mail addresses of {domain} are not let in here with {label}; use another account there"
                ),
            ),
        };
        error.with_detail(detail)
    }
}

fn no_mail(label: &str) -> ApiError {
    let message =
        format!("{label} tells no verified mail address of you; verify one there, then sign in again");
    ApiError::sign_in(StatusCode::FORBIDDEN, "mail_not_verified", message)
}

/// Why an attempt is not taken. All causes have one answer for the browser.
pub(crate) fn lost(error: AttemptError) -> ApiError {
    if let AttemptError::Store(error) = error {
        return ApiError::server_error(error.to_string());
    }
    let message =
        "This sign-in was not begun in this browser, took too long, or is done already; begin again";
    ApiError::malformed("sign_in_lost", message).with_detail(error.to_string())
}

/// Why somebody whom the provider has identified is not let in.
pub(crate) fn kept_out(error: &IdentityError, provider: &IdentityProvider) -> ApiError {
    let text = error.to_string();
    let code = match error {
        IdentityError::NoMail => return no_mail(&provider.label),
        IdentityError::Store(_) | IdentityError::NoTeam(_) => return ApiError::server_error(text),
        IdentityError::Unknown(_) => "person_unknown",
        IdentityError::LinkedElsewhere(_) => "mail_linked_already",
        IdentityError::Removed => "person_removed",
    };
    let mut message = text;
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    ApiError::sign_in(StatusCode::FORBIDDEN, code, message)
}
