//! Who may ask: key to caller to project, and a [`Permit`] for each request in flight.
//!
//! A permit lives in the body of the answer until its last byte: releasing it with the response's head, as usual
//! concurrency limits do, would let slow streams pile up without bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tokenmill_accounts::{AuthError, Caller, KeyScope, Project, Slots};
use tokio::sync::{Notify, oneshot};

use crate::App;
use crate::console::{is_from_here, session_token};
use crate::error::ApiError;
use crate::observe::Record;

/// The key, as Anthropic's clients send it.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long a request waits for a place in front of a project's limit, so that one that comes a moment too early is not
/// refused. As many may wait as may be in flight.
const QUEUE_PATIENCE: Duration = Duration::from_millis(500);

/// Names who pays: `team/project`.
const PROJECT: HeaderName = HeaderName::from_static("openai-project");

/// Lets in whoever has a key, or the session of somebody who has signed in to the console. Asked before a byte of the
/// body is read; leaves the [`Caller`] in the request's extensions.
pub(crate) async fn enter(app: &App, request: &mut Request) -> Result<(), ApiError> {
    let caller = authenticate(app, request.headers()).await?;
    if let Some(record) = request.extensions().get::<Record>() {
        record.caller(
            &caller.key_id,
            &format!("{}/{}", caller.team.name, caller.project.name),
        );
    }
    may_enter(app, &caller, request)?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Rules that hold for a caller whatever they ask: where they may come from, and whether their team is switched on.
fn may_enter(app: &App, caller: &Caller, request: &Request) -> Result<(), ApiError> {
    let address = app.origins.address(request);
    if app.origins.is_denied(request, address) {
        return Err(ApiError::country_not_supported());
    }
    if !caller.terms.key.allows_address(address) {
        return Err(ApiError::unauthorized("network_not_allowed"));
    }
    if caller.terms.team.is_disabled && !caller.terms.has_scope(KeyScope::Admin) {
        return Err(ApiError::team_disabled());
    }
    Ok(())
}

/// The key must be good for this.
pub(crate) fn check_scope(caller: &Caller, scope: KeyScope) -> Result<(), ApiError> {
    if caller.terms.has_scope(scope) {
        return Ok(());
    }
    let detail = format!("the key has not the scope {}", scope.name());
    Err(ApiError::unauthorized("scope_not_granted").with_detail(detail))
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
    let presented = presented_key(headers)?;
    let project = single(headers, &PROJECT).map_err(|()| invalid_project())?;
    if presented.is_empty()
        && let Some(token) = session_token(app, headers)
    {
        if !is_from_here(headers) {
            return Err(ApiError::cross_site());
        }
        let caller = app.accounts.session(token, project).await;
        return caller.map_err(|error| refuse(&error));
    }
    app.accounts
        .authenticate(presented, project)
        .await
        .map_err(|error| refuse(&error))
}

/// What stands behind `Bearer`, or in the header of Anthropic's clients; empty where there is neither. Both may be there
/// when they agree.
pub(crate) fn presented_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let malformed = || ApiError::unauthorized("invalid_api_key");
    let bare = single(headers, &API_KEY).map_err(|()| malformed())?;
    let bare = bare.map(str::trim).filter(|key| !key.is_empty());
    match (bearer_key(headers)?, bare) {
        ("", Some(bare)) => Ok(bare),
        (bearer, Some(bare)) if bearer != bare => Err(malformed()),
        (bearer, _) => Ok(bearer),
    }
}

fn bearer_key(headers: &HeaderMap) -> Result<&str, ApiError> {
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
        AuthError::UnknownSession => ApiError::unauthorized("session_over"),
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

/// What is in flight: for each project and model the sequences, for a request takes as many of the engine's places as
/// it has choices; and for each project the requests that are still being read, whose model is not known yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    limit: usize,
    counts: Mutex<Counts>,
    /// Told whenever the last permit comes back.
    idle: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// Projects come and go; the map holds only those that are at it.
    places: HashMap<Place, usize>,
    /// Those who wait for a place, first come first served.
    queues: HashMap<Place, VecDeque<Waiting>>,
    n_permits: usize,
}

/// A request that waits for a place.
#[derive(Debug)]
struct Waiting {
    n: usize,
    limit: usize,
    reply: oneshot::Sender<Permit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    project_id: String,
    /// `None` while the request is being read.
    model: Option<String>,
}

impl InFlight {
    pub(crate) fn new(limit: usize) -> InFlight {
        InFlight {
            limit,
            counts: Mutex::default(),
            idle: Notify::new(),
        }
    }

    /// One more request of this project whose body is read. As many as could be admitted for one model may be read
    /// together, so that callers without an answer cannot fill the memory with bodies.
    pub(crate) fn read(self: &Arc<Self>, project: &Project) -> Result<Permit, Concurrency> {
        self.take(project, None, 1, self.limit)
    }

    /// `n` more sequences of this project for this model, at most `limit` together. Where there is no place it waits a
    /// moment for one.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        project: &Project,
        model: &str,
        n: usize,
        limit: usize,
    ) -> Result<Permit, Concurrency> {
        let refusal = match self.take(project, Some(model.to_owned()), n, limit) {
            Ok(permit) => return Ok(permit),
            Err(refusal) => refusal,
        };
        let place = Place {
            project_id: project.id.clone(),
            model: Some(model.to_owned()),
        };
        let told = self.queue(&place, n, limit).ok_or(refusal)?;
        match tokio::time::timeout(QUEUE_PATIENCE, told).await {
            Ok(Ok(permit)) => Ok(permit),
            // What is given to it from now on comes back by itself.
            _ => Err(refusal),
        }
    }

    /// Waits for a place; `None` where too many do.
    fn queue(self: &Arc<Self>, place: &Place, n: usize, limit: usize) -> Option<oneshot::Receiver<Permit>> {
        let (reply, told) = oneshot::channel();
        let mut counts = self.lock();
        let queue = counts.queues.entry(place.clone()).or_default();
        queue.retain(|waiting| !waiting.reply.is_closed());
        if queue.len() >= limit {
            return None;
        }
        queue.push_back(Waiting { n, limit, reply });
        // A place may have come back between the look and now.
        let lost = self.serve(&mut counts, place);
        drop(counts);
        drop(lost);
        Some(told)
    }

    /// Gives places that are free to those who wait for them. What is returned could not be given, and must be dropped
    /// without the lock.
    fn serve(self: &Arc<Self>, counts: &mut Counts, place: &Place) -> Vec<Permit> {
        let mut lost = Vec::new();
        let Some(queue) = counts.queues.get_mut(place) else {
            return lost;
        };
        let count = counts.places.entry(place.clone()).or_default();
        while let Some(first) = queue.pop_front() {
            if first.reply.is_closed() {
                continue;
            }
            let n_left = first.limit.saturating_sub(*count);
            if first.n > n_left {
                queue.push_front(first);
                break;
            }
            *count += first.n;
            counts.n_permits += 1;
            let permit = Permit {
                in_flight: self.clone(),
                place: place.clone(),
                n: first.n,
                concurrency: Concurrency {
                    limit: first.limit,
                    remaining: n_left - first.n,
                },
                slots: None,
            };
            lost.extend(first.reply.send(permit).err());
        }
        if *count == 0 {
            counts.places.remove(place);
        }
        if queue.is_empty() {
            counts.queues.remove(place);
        }
        lost
    }

    fn take(
        self: &Arc<Self>,
        project: &Project,
        model: Option<String>,
        n: usize,
        limit: usize,
    ) -> Result<Permit, Concurrency> {
        let place = Place {
            project_id: project.id.clone(),
            model,
        };
        let mut counts = self.lock();
        let n_before = counts.places.get(&place).copied().unwrap_or(0);
        // Those who wait come first.
        let is_waited_for = counts.queues.contains_key(&place);
        let n_left = if is_waited_for {
            0
        } else {
            limit.saturating_sub(n_before)
        };
        let concurrency = |remaining| Concurrency { limit, remaining };
        if n > n_left {
            return Err(concurrency(n_left));
        }
        counts.places.insert(place.clone(), n_before + n);
        counts.n_permits += 1;
        drop(counts);
        Ok(Permit {
            in_flight: self.clone(),
            place,
            n,
            concurrency: concurrency(n_left - n),
            slots: None,
        })
    }

    /// How many of a project's sequences may be in flight for one model: the server's limit, or the project's own where
    /// that is lower.
    pub(crate) fn limit(&self, own: Option<u32>) -> usize {
        own.map_or(self.limit, |own| self.limit.min(own as usize))
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

    /// Requests over all projects and models, those that are being read among them.
    pub(crate) fn total(&self) -> usize {
        self.lock().n_permits
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much may be in flight together, in sequences, and how much of it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Concurrency {
    limit: usize,
    remaining: usize,
}

impl Concurrency {
    /// Of all servers together.
    pub(crate) fn of_all(limit: usize, remaining: u32) -> Concurrency {
        Concurrency {
            limit,
            remaining: remaining as usize,
        }
    }

    /// Tells the caller about the limit that holds now. Limits of rates are not among them until there are any.
    pub(crate) fn describe(self, headers: &mut HeaderMap) {
        let limit = HeaderName::from_static("x-ratelimit-limit-concurrency");
        let remaining = HeaderName::from_static("x-ratelimit-remaining-concurrency");
        headers.insert(limit, HeaderValue::from(self.limit));
        headers.insert(remaining, HeaderValue::from(self.remaining));
    }
}

/// Leave for one request to be in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    in_flight: Arc<InFlight>,
    place: Place,
    n: usize,
    /// What was left when this one was given.
    pub(crate) concurrency: Concurrency,
    /// Its slots among those of all servers.
    slots: Option<Slots>,
}

impl Permit {
    /// With slots among those of all servers.
    pub(crate) fn with_slots(mut self, slots: Slots) -> Permit {
        if let Some(n_left) = slots.n_left() {
            self.concurrency.remaining = self.concurrency.remaining.min(n_left as usize);
        }
        self.slots = Some(slots);
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.in_flight.lock();
        if let Some(count) = counts.places.get_mut(&self.place) {
            *count -= self.n;
            if *count == 0 {
                counts.places.remove(&self.place);
            }
        }
        counts.n_permits -= 1;
        let lost = self.in_flight.serve(&mut counts, &self.place);
        if counts.n_permits == 0 {
            self.in_flight.idle.notify_waiters();
        }
        drop(counts);
        drop(lost);
    }
}

/// Seconds until one of `n_in_flight` requests is likely over, when each takes `mean_s`.
pub(crate) fn wait_for_a_place_s(mean_s: Option<f64>, n_in_flight: u64) -> Option<u32> {
    let wait = (mean_s? / n_in_flight.max(1) as f64).ceil();
    Some((wait as u32).clamp(1, 600))
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

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_place_gets_it_in_turn_or_is_refused_after_a_moment() {
        let in_flight = Arc::new(InFlight::new(2));
        let admit = async |n| in_flight.admit(&project("p"), "m", n, 2).await;
        let (first, second) = (
            admit(1).await.expect("one of two"),
            admit(1).await.expect("two of two"),
        );
        let begun = tokio::time::Instant::now();
        admit(1).await.expect_err("nothing comes back");
        assert_eq!(begun.elapsed(), QUEUE_PATIENCE);
        let wait = |n| {
            let in_flight = in_flight.clone();
            tokio::spawn(async move { in_flight.admit(&project("p"), "m", n, 2).await })
        };
        let (both, late) = (wait(2), wait(1));
        tokio::task::yield_now().await;
        admit(1).await.expect_err("as many wait as may be in flight");
        drop(first);
        tokio::task::yield_now().await;
        assert!(
            !both.is_finished() && !late.is_finished(),
            "who needs two comes first"
        );
        drop(second);
        let both = both.await.expect("no panic").expect("two came back");
        assert!(!late.is_finished());
        late.abort();
        assert!(late.await.is_err(), "it has left");
        drop(both);
        assert_eq!(in_flight.total(), 0);
        assert!(in_flight.lock().places.is_empty() && in_flight.lock().queues.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn sequences_are_counted_by_project_and_model_and_come_back() {
        let in_flight = Arc::new(InFlight::new(4));
        let left = |remaining| Concurrency { limit: 4, remaining };
        let admit = |name, model: &str, n| in_flight.take(&project(name), Some(model.to_owned()), n, 4);
        let first = admit("p", "m", 1).expect("one of four");
        let second = admit("p", "m", 2).expect("three of four");
        assert_eq!((first.concurrency, second.concurrency), (left(3), left(1)));
        assert_eq!(admit("p", "m", 2).expect_err("five of four"), left(1));
        let third = admit("p", "m", 1).expect("four of four");
        assert_eq!(admit("p", "m", 1).expect_err("full"), left(0));
        let other_model = admit("p", "n", 4).expect("another model");
        let other_project = admit("q", "m", 4).expect("another project");
        let reading = in_flight.read(&project("p")).expect("reading is apart");
        assert_eq!(in_flight.total(), 6, "requests, not sequences");
        drop(second);
        drop(admit("p", "m", 2).expect("two came back"));
        drop((first, third, other_model, other_project, reading));
        assert_eq!(in_flight.total(), 0);
        assert!(in_flight.lock().places.is_empty());
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

    #[test]
    fn a_key_may_stand_in_anthropics_header() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            presented_key(&headers)
                .map(str::to_owned)
                .map_err(|error| error.code)
        };
        assert_eq!(read(&[("x-api-key", " abc ")]), Ok("abc".to_owned()));
        assert_eq!(read(&[("x-api-key", "")]), Ok(String::new()));
        let both = |bare| read(&[("authorization", "Bearer abc"), ("x-api-key", bare)]);
        assert_eq!(both("abc"), Ok("abc".to_owned()));
        assert_eq!(both(""), Ok("abc".to_owned()));
        assert_eq!(both("abd"), Err("invalid_api_key"), "a guess at who asks");
        assert_eq!(
            read(&[("x-api-key", "a"), ("x-api-key", "a")]),
            Err("invalid_api_key")
        );
    }
}
