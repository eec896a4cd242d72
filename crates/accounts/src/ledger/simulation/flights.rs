//! What is in flight on a server, as its callers see it.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::world::Random;
use crate::ledger::slots::SlotBook;

/// Places, and how much may be in flight of each on all servers.
const PLACES: [(&str, u32); 2] = [("slots/p/small", 3), ("slots/p/large", 12)];

struct Flight {
    place: &'static str,
    n: u32,
    /// It ran when its server had been silent for too long: others may have its slots.
    is_carried: bool,
}

/// What is in flight on one server.
#[derive(Default)]
pub(super) struct Flights {
    up: Vec<Flight>,
    waiting: Vec<(&'static str, u32, oneshot::Receiver<()>)>,
}

impl Flights {
    /// A request begins or ends; what happened.
    pub(super) fn fly(&mut self, slots: &mut SlotBook, random: &mut Random, now_ms: u64) -> String {
        let (place, limit) = PLACES[random.below(2) as usize];
        if random.one_in(2) && !self.up.is_empty() {
            let idx = random.below(self.up.len() as u64) as usize;
            let flight = self.up.swap_remove(idx);
            slots.free(flight.place, flight.n);
            return format!("lands {} of {}", flight.n, flight.place);
        }
        let n = 1 + random.below(3) as u32;
        let is_lapsed = slots.is_lapsed(now_ms);
        let answer = match slots.admit(place, n, limit, now_ms) {
            Ok(()) => {
                assert!(!is_lapsed, "let in, although others may have its slots");
                self.take_off(place, n);
                "takes off"
            }
            Err(Some(told)) => {
                self.waiting.push((place, n, told));
                "waits"
            }
            Err(None) => "refused",
        };
        format!("{answer}: {n} of {place}")
    }

    fn take_off(&mut self, place: &'static str, n: u32) {
        self.up.push(Flight {
            place,
            n,
            is_carried: false,
        });
    }

    /// Those who wait hear what they were told; some lose patience, perhaps just then.
    pub(super) fn hear(&mut self, slots: &mut SlotBook, random: &mut Random) {
        for (place, n, mut told) in std::mem::take(&mut self.waiting) {
            let loses_patience = random.one_in(20);
            if loses_patience {
                told.close();
            }
            match told.try_recv() {
                Ok(()) if loses_patience => slots.free(place, n),
                Ok(()) => self.take_off(place, n),
                Err(oneshot::error::TryRecvError::Empty) if !loses_patience => {
                    self.waiting.push((place, n, told));
                }
                Err(_) => {}
            }
        }
    }

    /// Everything ends, and nobody waits.
    pub(super) fn land(&mut self, slots: &mut SlotBook) {
        for (place, n, mut told) in self.waiting.drain(..) {
            told.close();
            if told.try_recv().is_ok() {
                slots.free(place, n);
            }
        }
        for flight in self.up.drain(..) {
            slots.free(flight.place, flight.n);
        }
    }

    /// The server counts what runs, and what others may have the slots of is marked.
    pub(super) fn check(&mut self, slots: &mut SlotBook, now_ms: u64) {
        if slots.is_lapsed(now_ms) {
            for flight in &mut self.up {
                flight.is_carried = true;
            }
        }
        let mut up: BTreeMap<&str, i64> = BTreeMap::new();
        for flight in &self.up {
            *up.entry(flight.place).or_default() += i64::from(flight.n);
        }
        for (place, used) in slots.used() {
            // Some may have been told and not have heard it yet.
            let told = self.waiting.iter().filter(|(of, ..)| of == place);
            let told: i64 = told.map(|(_, n, _)| i64::from(*n)).sum();
            let up = up.remove(place.as_str()).unwrap_or(0);
            assert!(
                (up..=up + told).contains(&used),
                "{place}: {used} used, {up} in flight"
            );
        }
        assert!(up.is_empty(), "in flight, and not counted: {up:?}");
    }

    /// I8: no more than may be, on all servers together.
    pub(super) fn check_all<'a>(servers: impl Iterator<Item = &'a Flights>) {
        let mut up: BTreeMap<&str, u32> = BTreeMap::new();
        let flights = servers.flat_map(|flights| &flights.up);
        for flight in flights.filter(|flight| !flight.is_carried) {
            *up.entry(flight.place).or_default() += flight.n;
        }
        for (place, limit) in PLACES {
            let n = up.get(place).copied().unwrap_or(0);
            assert!(n <= limit, "I8: {n} of {limit} in flight of {place}");
        }
    }
}
