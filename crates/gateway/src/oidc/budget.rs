//! How many codes that a provider refuses may come from one place within a minute.
//!
//! Nobody can guess a code. What is kept short is what strangers can make this server ask of the provider. Waits that double,
//! as after wrong passwords, would be the wrong means: many people may come from one place, and no name tells one person's
//! failures from another's, so that one stranger could keep all others out for minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MAX_REFUSED: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Places that are remembered.
const MAX_PLACES: usize = 10_000;

/// Codes refused of late, by place.
#[derive(Default)]
pub(crate) struct Budget(Mutex<HashMap<String, (u32, Instant)>>);

impl Budget {
    /// Seconds until this place may try again.
    pub(crate) fn wait_s(&self, place: &str) -> Option<u64> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let &(n, since) = places.get(place)?;
        let left = WINDOW.checked_sub(since.elapsed())?;
        (n >= MAX_REFUSED).then(|| left.as_secs().max(1))
    }

    /// A code from this place was refused.
    pub(crate) fn refused(&self, place: &str) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_PLACES {
            places.retain(|_, (_, since)| since.elapsed() < WINDOW);
        }
        if places.len() >= MAX_PLACES {
            places.clear();
        }
        let (n, since) = places.entry(place.to_owned()).or_insert((0, Instant::now()));
        if since.elapsed() >= WINDOW {
            (*n, *since) = (0, Instant::now());
        }
        *n += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_waits_for_the_rest_of_the_minute_and_others_do_not() {
        let budget = Budget::default();
        let place = "127.0.0.1";
        for _ in 0..MAX_REFUSED {
            assert_eq!(budget.wait_s(place), None);
            budget.refused(place);
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(budget.wait_s(place), Some(40));
        assert_eq!(budget.wait_s("127.0.0.2"), None);
        tokio::time::advance(Duration::from_secs(41)).await;
        assert_eq!(budget.wait_s(place), None);
        budget.refused(place);
        assert_eq!(budget.wait_s(place), None);
    }
}
