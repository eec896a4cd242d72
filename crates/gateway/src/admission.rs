//! Who may ask: key to caller to project, and a [`Permit`] for each request in flight.
//!
//! A permit lives in the body of the answer until its last byte: releasing it with the response's head, as usual
//! concurrency limits do, would let slow streams pile up without bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokenmill_accounts::{AuthError, Caller, Project};
use tokio::sync::Notify;

use crate::App;
use crate::error::ApiError;
use crate::observe::Record;

/// Names who pays: `team/project`.
const PROJECT: HeaderName = HeaderName::from_static("openai-project");

/// The middleware of every route that needs a key. It runs before a byte of the body is read, and leaves the
/// [`Caller`] in the request's extensions.
pub(crate) async fn layer(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match authenticate(&app, request.headers()).await {
        Ok(caller) => {
            if let Some(record) = request.extensions().get::<Record>() {
                record.caller(
                    &caller.key_id,
                    &format!("{}/{}", caller.team.name, caller.project.name),
                );
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let presented = presented_key(headers)?;
    let project = single(headers, &PROJECT).map_err(|()| invalid_project())?;
    app.accounts
        .authenticate(presented, project)
        .await
        .map_err(|error| refuse(&error))
}

/// What stands behind `Bearer`; empty where the header is missing.
fn presented_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let malformed = || ApiError::unauthorized("invalid_api_key");
    let value = single(headers, &header::AUTHORIZATION).map_err(|()| malformed())?;
    let Some(value) = value else { return Ok("") };
    let (scheme, key) = value.split_once(' ').ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(key.trim())
    } else {
        Err(malformed())
    }
}

/// The only value of a header, `None` without one. Two values, or bytes that are not ASCII, are an error: choosing one
/// of two would be a guess at who asks.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn refuse(error: &AuthError) -> ApiError {
    let detail = error.to_string();
    let refusal = match error {
        AuthError::MissingKey => ApiError::unauthorized("missing_api_key"),
        AuthError::MalformedKey | AuthError::UnknownKey => ApiError::unauthorized("invalid_api_key"),
        AuthError::ExpiredKey => ApiError::unauthorized("expired_api_key"),
        AuthError::RevokedKey => ApiError::unauthorized("revoked_api_key"),
        // One code for both: whoever is not in a team must not learn which teams there are.
        AuthError::UnknownTeam | AuthError::NotAMember => ApiError::unauthorized("team_not_accessible"),
        AuthError::UnknownProject => ApiError::unauthorized("project_not_found"),
        AuthError::MalformedProject => invalid_project(),
        AuthError::Unavailable(_) => ApiError::server_error(""),
    };
    refusal.with_detail(detail)
}

fn invalid_project() -> ApiError {
    let message = "The OpenAI-Project header must be given once, as team/project";
    ApiError::parameter("invalid_project", "OpenAI-Project", message)
}

/// Requests in flight, by project and model.
#[derive(Debug)]
pub(crate) struct InFlight {
    limit: usize,
    counts: Mutex<HashMap<Place, usize>>,
    /// Told whenever the last permit comes back.
    idle: Notify,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    project_id: String,
    model: String,
}

impl InFlight {
    pub(crate) fn new(limit: usize) -> InFlight {
        InFlight {
            limit,
            counts: Mutex::new(HashMap::new()),
            idle: Notify::new(),
        }
    }

    /// One more request of this project for this model; `None` where there are as many as may be.
    pub(crate) fn admit(self: &Arc<Self>, project: &Project, model: &str) -> Option<Permit> {
        let place = Place {
            project_id: project.id.clone(),
            model: model.to_owned(),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(place.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        let remaining = self.limit - *count;
        drop(counts);
        Some(Permit {
            in_flight: self.clone(),
            place,
            remaining,
        })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            // Asked for before looking, so that nothing is missed between the two.
            let idle = self.idle.notified();
            if self.total() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Over all projects and models.
    pub(crate) fn total(&self) -> usize {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .sum()
    }
}

/// Leave for one request to be in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    in_flight: Arc<InFlight>,
    place: Place,
    /// How many more this project and model could have had when this one was given.
    remaining: usize,
}

impl Permit {
    /// Tells the caller about the limit that holds now. Limits of rates are not among them until there are any.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        let limit = HeaderName::from_static("x-ratelimit-limit-concurrency");
        let remaining = HeaderName::from_static("x-ratelimit-remaining-concurrency");
        headers.insert(limit, HeaderValue::from(self.in_flight.limit));
        headers.insert(remaining, HeaderValue::from(self.remaining));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self
            .in_flight
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.place) {
            *count -= 1;
            // Projects come and go; the map holds only those that are at it.
            if *count == 0 {
                counts.remove(&self.place);
            }
        }
        if counts.is_empty() {
            self.in_flight.idle.notify_waiters();
        }
    }
}

/// Seconds until one of `n_in_flight` requests is likely over, when each takes `mean_s`.
pub(crate) fn wait_for_a_place_s(mean_s: Option<f64>, n_in_flight: u64) -> Option<u64> {
    let wait = (mean_s? / n_in_flight.max(1) as f64).ceil();
    Some((wait as u64).clamp(1, 600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(id: &str) -> Project {
        Project {
            id: id.into(),
            name: id.into(),
        }
    }

    #[test]
    fn permits_are_counted_by_project_and_model_and_come_back() {
        let in_flight = Arc::new(InFlight::new(2));
        let first = in_flight.admit(&project("p"), "m").expect("the first of two");
        let second = in_flight.admit(&project("p"), "m").expect("the second of two");
        assert!(in_flight.admit(&project("p"), "m").is_none());
        let other_model = in_flight.admit(&project("p"), "n").expect("another model");
        let other_project = in_flight.admit(&project("q"), "m").expect("another project");
        assert_eq!((first.remaining, second.remaining, in_flight.total()), (1, 0, 4));
        drop(first);
        drop(in_flight.admit(&project("p"), "m").expect("one came back"));
        drop((second, other_model, other_project));
        assert_eq!(in_flight.total(), 0);
        assert!(in_flight.counts.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_wait_is_only_told_when_measured() {
        assert_eq!(wait_for_a_place_s(None, 8), None);
        assert_eq!(wait_for_a_place_s(Some(0.01), 8), Some(1));
        assert_eq!(wait_for_a_place_s(Some(20.0), 8), Some(3));
        assert_eq!(wait_for_a_place_s(Some(1e12), 1), Some(600));
    }

    #[test]
    fn a_key_stands_behind_bearer_once() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            presented_key(&headers)
                .map(str::to_owned)
                .map_err(|error| error.code)
        };
        assert_eq!(read(&[]), Ok(String::new()));
        assert_eq!(read(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(read(&["bearer  abc "]), Ok("abc".to_owned()));
        assert_eq!(read(&["Basic abc"]), Err("invalid_api_key"));
        assert_eq!(read(&["abc"]), Err("invalid_api_key"));
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err("invalid_api_key"));
    }
}
