//! Sequences in flight, counted over all servers of a database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Ledger, Shared};

/// How long a request waits for slots that others hold or that run out soon.
const PATIENCE: Duration = Duration::from_millis(500);

/// Leave for sequences of a project and model to be in flight; given back when dropped.
pub struct Slots {
    held: Option<Held>,
}

struct Held {
    shared: Arc<Shared>,
    place: String,
    n: u32,
    /// Where it will be told that it has them; `None` once it has.
    told: Option<oneshot::Receiver<()>>,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.as_ref().map(|held| (&held.place, held.n));
        f.debug_tuple("Slots").field(&held).finish()
    }
}

/// There are no slots to be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SlotError {
    /// As many are in flight as may be.
    #[error("{n_left} of the slots of this project and model are free")]
    Full {
        /// What is left, as far as is known.
        n_left: u32,
    },
    /// The database has been silent for too long to know what is in flight elsewhere.
    #[error("the database has been silent for too long")]
    Unavailable,
}

impl Ledger {
    /// Takes `n` of the slots that a project has for a model, of `limit` on all servers together. A server that shares its
    /// database with no other counts for itself, and has nothing to take here.
    ///
    /// # Errors
    /// There are none, even after a moment.
    pub async fn slots(&self, project_id: &str, model: &str, n: u32, limit: u32) -> Result<Slots, SlotError> {
        let shared = &self.shared;
        if !shared.store.is_shared() {
            return Ok(Slots { held: None });
        }
        let place = format!("slots/{project_id}/{model}");
        let admitted = shared.book().slots().admit(&place, n, limit, shared.now_ms());
        let told = match admitted {
            Ok(()) => None,
            Err(Some(told)) => Some(told),
            Err(None) => return Err(self.no_slots(&place)),
        };
        let mut held = Held {
            shared: shared.clone(),
            place,
            n,
            told,
        };
        if let Some(told) = &mut held.told {
            shared.to_lend.notify_one();
            match tokio::time::timeout(PATIENCE, told).await {
                Ok(Ok(())) => held.told = None,
                _ => return Err(self.no_slots(&held.place)),
            }
        }
        Ok(Slots { held: Some(held) })
    }

    fn no_slots(&self, place: &str) -> SlotError {
        let mut book = self.shared.book();
        if book.slots().is_lapsed(self.shared.now_ms()) {
            return SlotError::Unavailable;
        }
        SlotError::Full {
            n_left: book.slots().n_left(place),
        }
    }
}

impl Slots {
    /// How many more may be in flight, as far as this server knows; `None` where it counts for itself.
    pub fn n_left(&self) -> Option<u32> {
        let held = self.held.as_ref()?;
        Some(held.shared.book().slots().n_left(&held.place))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut told) = self.told.take() {
            told.close();
            // It may have been told just when it left.
            if told.try_recv().is_err() {
                return;
            }
        }
        self.shared.book().slots().free(&self.place, self.n);
    }
}
