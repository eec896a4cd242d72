//! How often and how much within a minute: one bucket for each project and key that has a limit, which fills up evenly.
//!
//! A request is let in while there is something in every bucket; the tokens that it turns out to take are taken as they
//! come, if need be below nothing, and the next request waits until the bucket has recovered. Servers that share a database
//! count each for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokenmill_accounts::{Caller, Rates};
use tokio::time::Instant;

/// Buckets that are kept; full ones are forgotten when there are more.
const MAX_BUCKETS: usize = 100_000;
const MINUTE_S: f64 = 60.0;

/// What a bucket counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Unit {
    Requests,
    Tokens,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Name {
    /// The id of a project or a key; they cannot be mistaken for one another.
    of: String,
    unit: Unit,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// What is in it; negative where more was taken than there was.
    level: f64,
    limit: f64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, limit: f64, now: Instant) {
        let more = (now - self.at).as_secs_f64() * limit / MINUTE_S;
        self.level = (self.level + more).min(limit);
        (self.limit, self.at) = (limit, now);
    }

    /// Seconds until `level` is in it.
    fn wait_s(&self, level: f64) -> f64 {
        ((level - self.level) * MINUTE_S / self.limit).max(0.0)
    }
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter(Mutex<HashMap<Name, Bucket>>);

/// How a limit stands, for the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    unit_is_requests: bool,
    limit: f64,
    remaining: f64,
    reset_s: f64,
    /// Seconds until the next request would be let in.
    pub(crate) wait_s: f64,
}

/// The tightest limits of each kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standings(Vec<Standing>);

impl Standings {
    /// Tells the caller.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        for standing in &self.0 {
            let names = if standing.unit_is_requests {
                [
                    "x-ratelimit-limit-requests",
                    "x-ratelimit-remaining-requests",
                    "x-ratelimit-reset-requests",
                ]
            } else {
                [
                    "x-ratelimit-limit-tokens",
                    "x-ratelimit-remaining-tokens",
                    "x-ratelimit-reset-tokens",
                ]
            };
            let values = [
                format!("{}", standing.limit),
                format!("{}", standing.remaining.max(0.0).floor()),
                format!("{}ms", (standing.reset_s * 1e3).ceil()),
            ];
            for (name, value) in names.into_iter().zip(values) {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
    }
}

/// The buckets of one request's tokens.
#[derive(Debug, Clone)]
pub(crate) struct Charged {
    limiter: Arc<RateLimiter>,
    names: Vec<Name>,
}

impl Charged {
    /// Takes tokens, whether they are there or not.
    pub(crate) fn tokens(&self, n: u64) {
        if self.names.is_empty() {
            return;
        }
        let mut buckets = self.limiter.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.names {
            if let Some(bucket) = buckets.get_mut(name) {
                bucket.level -= n as f64;
            }
        }
    }
}

impl RateLimiter {
    /// Lets a request of `caller` in, or says which limit is in the way.
    pub(crate) fn admit(self: &Arc<Self>, caller: &Caller) -> Result<(Charged, Standings), Standing> {
        let terms = &caller.terms;
        self.admit_under([
            (&caller.project.id, terms.project.rates),
            (&caller.key_id, terms.key.rates),
        ])
    }

    fn admit_under(
        self: &Arc<Self>,
        limits: [(&String, Rates); 2],
    ) -> Result<(Charged, Standings), Standing> {
        let now = Instant::now();
        let mut needed = Vec::new();
        for (of, rates) in limits {
            for (unit, limit) in [
                (Unit::Requests, rates.requests_per_minute),
                (Unit::Tokens, rates.tokens_per_minute),
            ] {
                let name = Name { of: of.clone(), unit };
                needed.extend(limit.map(|limit| (name, f64::from(limit))));
            }
        }
        let mut charged = Charged {
            limiter: self.clone(),
            names: Vec::new(),
        };
        if needed.is_empty() {
            return Ok((charged, Standings::default()));
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| {
                bucket.fill(bucket.limit, now);
                bucket.level < bucket.limit
            });
        }
        // First all are looked at, then taken from: one who is refused has used up nothing.
        for (name, limit) in &needed {
            let bucket = buckets.entry(name.clone()).or_insert(Bucket {
                level: *limit,
                limit: *limit,
                at: now,
            });
            bucket.fill(*limit, now);
            if bucket.level < 1.0 {
                return Err(standing(name, bucket));
            }
        }
        let mut standings = Standings::default();
        for (name, _) in needed {
            let Some(bucket) = buckets.get_mut(&name) else {
                continue;
            };
            if name.unit == Unit::Requests {
                bucket.level -= 1.0;
            } else {
                charged.names.push(name.clone());
            }
            keep_tightest(&mut standings.0, standing(&name, bucket));
        }
        Ok((charged, standings))
    }
}

fn standing(name: &Name, bucket: &Bucket) -> Standing {
    Standing {
        unit_is_requests: name.unit == Unit::Requests,
        limit: bucket.limit,
        remaining: bucket.level,
        reset_s: bucket.wait_s(bucket.limit),
        wait_s: bucket.wait_s(1.0),
    }
}

fn keep_tightest(standings: &mut Vec<Standing>, new: Standing) {
    let same = standings
        .iter_mut()
        .find(|old| old.unit_is_requests == new.unit_is_requests);
    match same {
        Some(old) if new.remaining < old.remaining => *old = new,
        Some(_) => {}
        None => standings.push(new),
    }
}

impl Standing {
    /// The code of the refusal.
    pub(crate) fn code(self) -> &'static str {
        if self.unit_is_requests {
            "request_rate_limit_reached"
        } else {
            "token_rate_limit_reached"
        }
    }

    /// This one alone.
    pub(crate) fn alone(self) -> Standings {
        Standings(vec![self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const REQUESTS: Rates = Rates {
        requests_per_minute: Some(2),
        tokens_per_minute: None,
    };
    const TOKENS: Rates = Rates {
        requests_per_minute: None,
        tokens_per_minute: Some(60),
    };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_lets_in_so_many_and_fills_up_evenly() {
        let limiter = Arc::new(RateLimiter::default());
        let (project, key) = ("p".to_owned(), "k".to_owned());
        let admit = || limiter.admit_under([(&project, REQUESTS), (&key, Rates::default())]);
        admit().expect("one of two");
        let (_, standings) = admit().expect("two of two");
        let mut headers = HeaderMap::new();
        standings.describe(&mut headers);
        assert_eq!(headers["x-ratelimit-limit-requests"], "2");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
        assert_eq!(headers["x-ratelimit-reset-requests"], "60000ms");
        let refused = admit().expect_err("three of two");
        assert_eq!(
            (refused.code(), refused.wait_s),
            ("request_rate_limit_reached", 30.0)
        );
        tokio::time::advance(Duration::from_secs(30)).await;
        admit().expect("half a minute fills one");
        assert!(admit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_taken_as_they_come_and_made_up_for() {
        let limiter = Arc::new(RateLimiter::default());
        let (project, key) = ("p".to_owned(), "k".to_owned());
        let admit = || limiter.admit_under([(&project, Rates::default()), (&key, TOKENS)]);
        let (charged, _) = admit().expect("full");
        charged.tokens(59);
        admit().expect("one is left");
        charged.tokens(31);
        let refused = admit().expect_err("thirty too many");
        assert_eq!(
            (refused.code(), refused.wait_s),
            ("token_rate_limit_reached", 31.0)
        );
        tokio::time::advance(Duration::from_secs(31)).await;
        admit().expect("made up for");
    }
}
