//! How many sequences of a project may be in flight for a model on this server: its part of what may be on all of them.
//!
//! Pure like [`super::book`], of which it is a part. A server says in each exchange how many slots of a place it holds and
//! how many it would like to hold; the database lends no more than the limit. What is said is a whole and not a difference,
//! so that an exchange whose outcome is not known is made good by the next.
//!
//! Slots of a server that says nothing any more are lent to others after a while, which is counted in *beats*: a number
//! in the database that grows at most once in [`SlotLease::beat_ms`], and only while servers speak with it. So nobody's
//! slots are taken for an outage of the database, or because a clock jumped. A server that is cut off alone admits nothing
//! over what runs, well before others may have its slots; what ran by then goes on, and counts again when it is back.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::exchange::{Exchange, Outcome, SlotGrant, SlotWish};

/// Slots that lie idle so long are given back, where others may want them, and where nobody does.
const IDLE_TIGHT_MS: u64 = 100;
const IDLE_MS: u64 = 60_000;
/// Beats by which a server stops before others may have its slots.
const MARGIN_BEATS: u64 = 2;

/// For how long a server that is silent keeps its slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotLease {
    /// The least time between two beats.
    pub beat_ms: u64,
    /// So many beats after its last word a server's slots are lent to others.
    pub n_beats: u64,
}

impl Default for SlotLease {
    /// Three minutes: longer than an outage of the database that nobody should feel.
    fn default() -> SlotLease {
        SlotLease {
            beat_ms: 5_000,
            n_beats: 36,
        }
    }
}

impl SlotLease {
    /// How long a server may go by its own clock after it sent its last word.
    fn lasts_ms(self) -> u64 {
        self.beat_ms * self.n_beats.saturating_sub(MARGIN_BEATS)
    }
}

/// A request that waits for slots.
struct Waiting {
    n: i64,
    reply: oneshot::Sender<()>,
}

/// Slots of one project and model.
#[derive(Default)]
struct Place {
    limit: i64,
    /// What the database has lent to this server.
    lent: i64,
    /// What is in flight here.
    used: i64,
    /// What it had lent to others when last heard of.
    elsewhere: i64,
    waiting: VecDeque<Waiting>,
    /// Others may want what lies idle here.
    is_tight: bool,
    /// The database may not know what is lent here.
    is_unsaid: bool,
    /// Nobody has wanted any since all was to be given back.
    is_let_go: bool,
    /// The fewest that lay idle at once since that was looked at.
    least_idle: i64,
    looked_ms: u64,
}

impl Place {
    fn serve(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            if first.reply.is_closed() {
                continue;
            }
            if self.used + first.n > self.lent.min(self.limit) {
                self.waiting.push_front(first);
                break;
            }
            self.used += first.n;
            if first.reply.send(()).is_err() {
                // Whoever waited has left just now.
                self.used -= first.n;
            }
        }
        self.least_idle = self.least_idle.min(self.lent - self.used);
    }

    /// How many may go back: those that lie idle where others may want them, else those that have for long.
    fn take_idle(&mut self, now_ms: u64) -> i64 {
        let after = if self.is_tight { IDLE_TIGHT_MS } else { IDLE_MS };
        if !self.is_let_go && now_ms.saturating_sub(self.looked_ms) < after {
            return 0;
        }
        let n_idle = self.lent - self.used;
        let n = if self.is_let_go || self.is_tight {
            n_idle
        } else {
            self.least_idle
        };
        self.looked_ms = now_ms;
        self.least_idle = n_idle;
        n.max(0)
    }

    /// What is to be said of it, if anything is.
    fn wish(&mut self, name: &str, now_ms: u64) -> Option<SlotWish> {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let n_waiting: i64 = self.waiting.iter().map(|waiting| waiting.n).sum();
        let n_idle = if n_waiting > 0 { 0 } else { self.take_idle(now_ms) };
        if n_waiting == 0 && n_idle == 0 && !self.is_unsaid && self.used <= self.lent {
            return None;
        }
        // Given up before it is said: whether that is heard or not, no more is used.
        self.lent = (self.lent - n_idle).max(self.used);
        self.least_idle = self.least_idle.min(self.lent - self.used);
        self.is_unsaid = true;
        let need = self.lent.max((self.used + n_waiting).min(self.limit));
        Some(SlotWish {
            place: name.to_owned(),
            limit: self.limit,
            held: self.lent,
            need,
            extra: if n_waiting > 0 { (need / 4).max(1) } else { 0 },
        })
    }
}

/// Every place that this server knows of.
pub(super) struct SlotBook {
    lease: SlotLease,
    places: BTreeMap<String, Place>,
    /// Until when nobody else can have been lent what was lent here.
    good_until_ms: u64,
    /// Since what was lent may be others': nothing is admitted over what runs.
    is_lapsed: bool,
    beat_at_ms: u64,
}

impl SlotBook {
    /// Nothing is lent before the first word of the database.
    pub(super) fn new(lease: SlotLease) -> SlotBook {
        SlotBook {
            lease,
            places: BTreeMap::new(),
            good_until_ms: 0,
            is_lapsed: true,
            beat_at_ms: 0,
        }
    }

    pub(super) fn lease(&self) -> SlotLease {
        self.lease
    }

    /// Takes `n` slots of a place that has `limit`; `Err` waits for them, and `None` in it where too many wait.
    pub(super) fn admit(
        &mut self,
        name: &str,
        n: u32,
        limit: u32,
        now_ms: u64,
    ) -> Result<(), Option<oneshot::Receiver<()>>> {
        self.lapse(now_ms);
        let place = self.places.entry(name.to_owned()).or_default();
        (place.limit, place.is_let_go) = (i64::from(limit), false);
        let n = i64::from(n);
        if !self.is_lapsed && place.waiting.is_empty() && place.used + n <= place.lent.min(place.limit) {
            place.used += n;
            place.least_idle = place.least_idle.min(place.lent - place.used);
            return Ok(());
        }
        place.waiting.retain(|waiting| !waiting.reply.is_closed());
        if place.waiting.len() >= limit as usize {
            return Err(None);
        }
        let (reply, told) = oneshot::channel();
        place.waiting.push_back(Waiting { n, reply });
        Err(Some(told))
    }

    /// Gives slots back that were taken.
    pub(super) fn free(&mut self, name: &str, n: u32) {
        let Some(place) = self.places.get_mut(name) else {
            return;
        };
        place.used -= i64::from(n);
        if self.is_lapsed {
            // What ends now may be others' already: nothing takes its place.
            place.lent = place.used;
        } else {
            place.serve();
        }
    }

    /// How many more may be in flight, as far as is known here.
    pub(super) fn n_left(&self, name: &str) -> u32 {
        let left = |place: &Place| place.limit - place.elsewhere - place.used;
        let left = self.places.get(name).map_or(0, left);
        u32::try_from(left).unwrap_or(0)
    }

    /// Whether the database has been silent for so long that others may have what was lent here.
    pub(super) fn is_lapsed(&self, now_ms: u64) -> bool {
        self.is_lapsed || now_ms >= self.good_until_ms
    }

    fn lapse(&mut self, now_ms: u64) {
        if self.is_lapsed || !self.is_lapsed(now_ms) {
            return;
        }
        self.is_lapsed = true;
        for place in self.places.values_mut() {
            (place.lent, place.is_unsaid) = (place.used, true);
        }
    }

    /// Whether it is time for a word to the database.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.beat_at_ms
    }

    /// What is to be said in an exchange that is made now.
    pub(super) fn wishes(&mut self, now_ms: u64) -> Vec<SlotWish> {
        self.lapse(now_ms);
        let wishes = self.places.iter_mut();
        let wishes = wishes.filter_map(|(name, place)| place.wish(name, now_ms));
        let wishes = wishes.collect();
        self.places.retain(|_, place| {
            let is_needed = place.lent > 0 || place.used > 0 || place.is_unsaid;
            is_needed || !place.waiting.is_empty()
        });
        wishes
    }

    /// The database did what an exchange said that was made at `asked_ms`.
    pub(super) fn exchanged(&mut self, exchange: &Exchange, outcome: &Outcome, asked_ms: u64) {
        if exchange.is_beat {
            self.good_until_ms = asked_ms + self.lease.lasts_ms();
            self.beat_at_ms = asked_ms + self.lease.beat_ms;
            self.is_lapsed = false;
        }
        for SlotGrant {
            place,
            amount,
            is_tight,
            elsewhere,
        } in &outcome.slots
        {
            let Some(place) = self.places.get_mut(place) else {
                continue;
            };
            (place.lent, place.elsewhere) = (*amount, *elsewhere);
            (place.is_tight, place.is_unsaid) = (*is_tight, false);
            place.serve();
        }
    }

    /// Others wait for slots of this place.
    pub(super) fn call_back(&mut self, name: &str) {
        if let Some(place) = self.places.get_mut(name) {
            place.is_tight = true;
        }
    }

    /// Everything that is not used is to go back with the next exchange.
    pub(super) fn return_all(&mut self) {
        for place in self.places.values_mut() {
            place.is_let_go = true;
        }
    }

    /// What is in flight here, by place.
    #[cfg(test)]
    pub(super) fn used(&self) -> impl Iterator<Item = (&String, i64)> {
        self.places.iter().map(|(name, place)| (name, place.used))
    }
}
