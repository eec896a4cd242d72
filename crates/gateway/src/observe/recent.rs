//! The last requests, for operators to look at: what the log line says, never what was asked or answered.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// Requests that are remembered.
const MAX_REMEMBERED: usize = 200;

/// A request that is over.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Past {
    pub(crate) id: String,
    /// When it ended, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) route: String,
    pub(crate) status: u16,
    pub(crate) model: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) duration_ms: f64,
    pub(crate) first_text_ms: Option<f64>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) error: Option<&'static str>,
}

/// The last requests.
#[derive(Debug)]
pub(crate) struct Recent {
    started: Instant,
    requests: Mutex<VecDeque<Past>>,
}

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent {
            started: Instant::now(),
            requests: Mutex::default(),
        }
    }

    pub(crate) fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub(crate) fn add(&self, past: Past) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_REMEMBERED {
            requests.pop_back();
        }
        requests.push_front(past);
    }

    /// The last one first.
    pub(crate) fn latest(&self) -> Vec<Past> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }
}
