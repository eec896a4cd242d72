//! What a server stands on, with every fault it can have: a disk that loses what was not synced, and a database that is
//! lost before or after it has done what it was asked, or does it much later.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use crate::ledger::disk::Disk;
use crate::ledger::exchange::{Exchange, ExchangeError, Grant, Outcome, SlotGrant, SlotWish};
use crate::ledger::record::{Usage, UsageId};

/// Numbers that are the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    n_synced: usize,
}

#[derive(Default)]
struct Files {
    files: BTreeMap<String, File>,
    is_full: bool,
    sync_fails: bool,
    random: u64,
}

/// A disk that outlives the process on it. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<Files>>);

impl SimDisk {
    pub(super) fn set_faults(&self, is_full: bool, sync_fails: bool, random: u64) {
        let mut files = self.0.lock().unwrap();
        (files.is_full, files.sync_fails, files.random) = (is_full, sync_fails, random);
    }

    /// The machine loses power: of what was not synced, only a part of arbitrary length is there afterwards, and its last
    /// bytes may be rubbish.
    pub(super) fn lose_power(&self, random: &mut Random) {
        for file in self.0.lock().unwrap().files.values_mut() {
            let n_loose = file.bytes.len() - file.n_synced;
            let n_kept = file.n_synced + random.below(n_loose as u64 + 1) as usize;
            file.bytes.truncate(n_kept);
            if n_kept > file.n_synced && random.one_in(2) {
                let last = file.bytes.len() - 1;
                file.bytes[last] ^= 0x55;
            }
        }
    }

    pub(super) fn n_files(&self) -> usize {
        self.0.lock().unwrap().files.len()
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let files = self.0.lock().unwrap();
        let file = files.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.bytes.clone())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let (is_full, random) = (files.is_full, files.random as usize);
        let file = files.files.entry(name.to_owned()).or_default();
        if is_full {
            // A part of it fits.
            file.bytes.extend_from_slice(&bytes[..random % (bytes.len() + 1)]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let (fails, random) = (files.sync_fails, files.random as usize);
        let Some(file) = files.files.get_mut(name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if fails {
            // Some of it may have been written all the same.
            file.n_synced += random % (file.bytes.len() - file.n_synced + 1);
            return Err(io::Error::other("sync failed"));
        }
        file.n_synced = file.bytes.len();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.0.lock().unwrap().files.remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }
}

/// A purse of the database.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct ModelPurse {
    pub(super) limit: i64,
    pub(super) spent: i64,
    pub(super) leased: i64,
    recall_until_ms: i64,
}

/// The obvious twin of the ledger in SQL, without anything that is not money.
#[derive(Default)]
pub(super) struct ModelStore {
    pub(super) purses: BTreeMap<String, ModelPurse>,
    pub(super) leases: BTreeMap<(String, String), i64>,
    pub(super) usage: BTreeMap<UsageId, Usage>,
    /// Slots that servers hold, by place and server.
    pub(super) slots: BTreeMap<(String, String), i64>,
    /// What the database's own clock says.
    pub(super) clock_ms: i64,
    /// The number of the beat, and when it was.
    beat: (u64, i64),
    /// The beat of each server's last word.
    beats: BTreeMap<String, u64>,
    /// Owner and epoch.
    replicas: BTreeMap<String, (String, i64)>,
    /// Sent, and not done yet.
    late: Vec<Exchange>,
}

impl ModelStore {
    pub(super) fn register(&mut self, replica: &str, owner: &str) {
        let entry = self.replicas.entry(replica.to_owned()).or_default();
        *entry = (owner.to_owned(), entry.1 + 1);
        self.slots.retain(|(_, of), _| of != replica);
    }

    pub(super) fn leases(
        &mut self,
        replica: &str,
        owner: &str,
    ) -> Result<(i64, BTreeMap<String, i64>), ExchangeError> {
        let entry = self.replicas.get_mut(replica).ok_or(ExchangeError::Fenced)?;
        if entry.0 != owner {
            return Err(ExchangeError::Fenced);
        }
        entry.1 += 1;
        let own = self.leases.iter().filter(|((of, _), _)| of == replica);
        Ok((entry.1, own.map(|((_, purse), n)| (purse.clone(), *n)).collect()))
    }

    /// Keeps an exchange back, to be done later or never.
    pub(super) fn delay(&mut self, exchange: Exchange) {
        self.late.push(exchange);
    }

    /// Does one that was kept back. Whoever sent it has long stopped waiting.
    pub(super) fn do_late(&mut self) {
        if let Some(exchange) = self.late.pop() {
            let _ = self.exchange(&exchange);
        }
    }

    pub(super) fn exchange(&mut self, exchange: &Exchange) -> Result<Outcome, ExchangeError> {
        let epoch = self.replicas.get(&exchange.replica).map(|entry| entry.1);
        if epoch != Some(exchange.epoch) {
            return Err(ExchangeError::Fenced);
        }
        let mut outcome = Outcome::default();
        for usage in &exchange.usage {
            if self.usage.contains_key(&usage.id) {
                outcome.known.push(usage.id);
            } else {
                self.post(&exchange.replica, usage);
            }
        }
        for (purse, amount) in &exchange.returns {
            self.take_from_lease(&exchange.replica, purse, *amount);
        }
        let now_ms = exchange.now.as_millis();
        for want in &exchange.wants {
            let lease = (exchange.replica.clone(), want.purse.clone());
            let purse = self.purses.entry(want.purse.clone()).or_default();
            let available = (purse.limit - purse.spent - purse.leased).max(0);
            let spare = (available - want.need).max(0) / 8;
            let amount = available.min(want.need + spare.min(want.extra));
            purse.leased += amount;
            let own = self.leases.entry(lease).or_default();
            *own += amount;
            let elsewhere = purse.leased - *own;
            if amount < want.need && elsewhere > 0 {
                purse.recall_until_ms = now_ms + 2_000;
            }
            outcome.grants.push(Grant {
                purse: want.purse.clone(),
                amount,
                is_tight: available - amount < want.need * 8,
                elsewhere,
            });
        }
        if exchange.is_beat {
            self.go_on(exchange);
        }
        for wish in &exchange.slots {
            outcome.slots.push(self.grant_slots(exchange, wish));
        }
        let recalled = self
            .purses
            .iter()
            .filter(|(_, purse)| purse.recall_until_ms > now_ms);
        outcome.recalled = recalled.map(|(name, _)| name.clone()).collect();
        Ok(outcome)
    }

    /// The beat goes on where it is time.
    fn go_on(&mut self, exchange: &Exchange) {
        let (number, at) = self.beat;
        if at <= self.clock_ms - exchange.lease.beat_ms as i64 || at > self.clock_ms {
            self.beat = (number + 1, self.clock_ms);
        }
        self.beats.insert(exchange.replica.clone(), self.beat.0);
    }

    fn grant_slots(&mut self, exchange: &Exchange, wish: &SlotWish) -> SlotGrant {
        let is_alive = |of: &String| {
            let beat = self.beats.get(of).copied().unwrap_or(0);
            beat + exchange.lease.n_beats >= self.beat.0
        };
        let others = self
            .slots
            .iter()
            .filter(|((place, of), _)| *place == wish.place && *of != exchange.replica && is_alive(of));
        let elsewhere: i64 = others.map(|(_, n)| *n).sum();
        let available = (wish.limit - elsewhere).max(0);
        let spare = (available - wish.need).max(0) / 4;
        let amount = available.min(wish.need + spare.min(wish.extra)).max(wish.held);
        let name = (wish.place.clone(), exchange.replica.clone());
        self.slots.insert(name, amount);
        self.slots.retain(|_, n| *n > 0);
        SlotGrant {
            place: wish.place.clone(),
            amount,
            is_tight: (available - amount) * 4 < wish.limit,
            elsewhere,
        }
    }

    fn post(&mut self, replica: &str, usage: &Usage) {
        for name in &usage.purses {
            self.take_from_lease(replica, name, usage.charge().0);
            if let Some(purse) = self.purses.get_mut(name) {
                purse.spent += usage.cost.0;
            }
        }
        self.usage.insert(usage.id, usage.clone());
    }

    fn take_from_lease(&mut self, replica: &str, purse: &str, amount: i64) {
        let lease = self
            .leases
            .entry((replica.to_owned(), purse.to_owned()))
            .or_default();
        let amount = amount.min(*lease);
        *lease -= amount;
        if let Some(purse) = self.purses.get_mut(purse) {
            purse.leased -= amount;
        }
    }

    /// I1: no purse has less than nothing; and what is leased is what servers were lent.
    pub(super) fn check(&self) {
        for (name, purse) in &self.purses {
            assert!(purse.limit - purse.spent - purse.leased >= 0, "{name}: {purse:?}");
            let lent = self.leases.iter().filter(|((_, of), _)| of == name);
            assert_eq!(purse.leased, lent.map(|(_, n)| *n).sum::<i64>(), "{name}");
        }
    }

    /// I2, I4, I6: the sums are those of the rows, each row costs what its tokens cost, and none more than it held.
    pub(super) fn check_rows(&self) {
        for (name, purse) in &self.purses {
            let of_purse = self.usage.values().filter(|usage| usage.purses.contains(name));
            assert_eq!(
                purse.spent,
                of_purse.map(|usage| usage.cost.0).sum::<i64>(),
                "{name}"
            );
        }
        for usage in self.usage.values() {
            assert!(usage.cost <= usage.hold, "{usage:?}");
            let is_free = usage.status == crate::ledger::record::Status::Failed;
            let cost = if is_free {
                0
            } else {
                usage.price.cost(usage.tokens).0
            };
            assert_eq!(usage.cost.0, cost);
        }
    }

    pub(super) fn ids(&self) -> BTreeSet<UsageId> {
        self.usage.keys().copied().collect()
    }
}
