//! The ledger's memory: what this server may spend, what is held, and what has ended and is still to be told.
//!
//! Pure: no clock, no disk, no database. Whoever drives it takes what is to be written ([`Book::take_writes`]) and what is
//! to be exchanged ([`Book::next_exchange`]) and reports what became of it. So the same code runs on a server and, with
//! every fault there is, in a simulation.
//!
//! For each purse, at all times: what the database says is lent to this server = free + held + spent and not posted +
//! being returned.

mod lending;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::exchange::{Exchange, ExchangeError, Grant, Outcome};
use super::purse::Purse;
use super::record::{Entry, Status, Usage, UsageId};
use super::slots::{SlotBook, SlotLease};
use crate::clock::Timestamp;
use crate::money::{Nanos, Tokens};

/// Requests that are told to the database in one exchange.
const EXCHANGE_USAGE: usize = 500;
/// Requests that have ended and are in no database yet; with more, nothing new is admitted.
const MAX_UNPOSTED: usize = 1_000_000;
/// Requests that wait for a lease.
const MAX_DEMANDS: usize = 10_000;
/// How long a request waits for money that lies with other servers.
const RECALL_MS: u64 = 400;
/// How long a request waits for a database that does not answer.
const STORE_MS: u64 = 2_000;
/// How long leases are good for without a word from a database that others use, too. A server that has been silent for
/// longer than this and its longest request is taken for dead.
const OUTAGE_MS: u64 = 15 * 60_000;
/// For so long nothing is asked for beforehand where there was too little.
const ASK_AHEAD_PAUSE_MS: u64 = 5_000;
/// A word is due so often where others use the database, too.
const HEARTBEAT_MS: u64 = 5_000;

/// A request that is running.
struct Open {
    usage: Arc<Usage>,
    /// Tokens at the last note in the log.
    n_noted: u64,
    /// Whether the log has its start, and who is told once it has.
    is_in_log: bool,
    ack: Option<oneshot::Sender<()>>,
}

/// A request that is over, and that the database does not know.
struct Ended {
    usage: Arc<Usage>,
    is_safe: bool,
    /// Told once it is safe.
    acks: Vec<oneshot::Sender<()>>,
}

/// A request that waits for money.
struct Demand {
    usage: Usage,
    reply: oneshot::Sender<Result<(), Refusal>>,
    since_ms: u64,
    /// Whether an exchange has asked for it.
    was_asked: bool,
}

/// Why a request is not admitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It could not be accounted for: the log or the database is out of reach.
    Unavailable(&'static str),
    /// `purse` has no more than `budget` to give.
    Insufficient { purse: String, budget: Nanos },
}

/// A request that may be admitted.
pub(crate) enum Admission {
    /// It is.
    Held,
    /// It will be told.
    Waiting(oneshot::Receiver<Result<(), Refusal>>),
}

/// See the head of this file.
pub(crate) struct Book {
    replica: String,
    epoch: i64,
    is_shared: bool,
    purses: BTreeMap<String, Purse>,
    slots: SlotBook,
    open: BTreeMap<UsageId, Open>,
    ended: BTreeMap<UsageId, Ended>,
    demands: VecDeque<Demand>,
    writes: Vec<Entry>,
    log_is_good: bool,
    is_fenced: bool,
    /// An exchange is out.
    is_asking: bool,
    /// When the last one was made.
    asked_ms: u64,
    /// An exchange may or may not have been done.
    is_unsure: bool,
    heard_ms: u64,
    /// The last time that was told.
    now_ms: u64,
    posted: Vec<UsageId>,
}

impl Book {
    /// An empty one, to be reconciled before its first exchange.
    pub(crate) fn new(replica: &str, is_shared: bool, slots: SlotLease, now_ms: u64) -> Book {
        Book {
            replica: replica.to_owned(),
            epoch: 0,
            is_shared,
            purses: BTreeMap::new(),
            slots: SlotBook::new(slots),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            demands: VecDeque::new(),
            writes: Vec::new(),
            log_is_good: true,
            is_fenced: false,
            is_asking: false,
            asked_ms: now_ms,
            is_unsure: true,
            heard_ms: now_ms,
            now_ms,
            posted: Vec::new(),
        }
    }

    /// Takes over what the log of an earlier process has left; the leases come with the first reconciliation.
    pub(crate) fn recover(&mut self, left: Vec<Usage>) {
        for usage in left {
            self.put_ended(Arc::new(usage), true);
        }
    }

    /// Admits a request, whose hold and purses are in it, or keeps it waiting, or refuses it.
    pub(crate) fn admit(&mut self, usage: Usage, now_ms: u64) -> Result<Admission, Refusal> {
        self.now_ms = now_ms;
        self.check_able(now_ms)?;
        if self.take_hold(&usage, now_ms) {
            self.start(usage);
            return Ok(Admission::Held);
        }
        if self.demands.len() >= MAX_DEMANDS {
            return Err(Refusal::Unavailable("too many requests wait for the ledger"));
        }
        let (reply, told) = oneshot::channel();
        self.demands.push_back(Demand {
            usage,
            reply,
            since_ms: now_ms,
            was_asked: false,
        });
        Ok(Admission::Waiting(told))
    }

    fn check_able(&self, now_ms: u64) -> Result<(), Refusal> {
        let silence = now_ms.saturating_sub(self.heard_ms);
        if self.is_fenced {
            Err(Refusal::Unavailable(
                "another process has taken this server's place",
            ))
        } else if !self.log_is_good {
            Err(Refusal::Unavailable("the usage log cannot be written"))
        } else if self.ended.len() >= MAX_UNPOSTED {
            Err(Refusal::Unavailable("too much usage waits for the database"))
        } else if self.is_shared && silence > OUTAGE_MS {
            Err(Refusal::Unavailable("the database has been silent for too long"))
        } else {
            Ok(())
        }
    }

    /// All purses or none.
    fn take_hold(&mut self, usage: &Usage, now_ms: u64) -> bool {
        let hold = usage.hold.0;
        if hold == 0 {
            return true;
        }
        if !usage.purses.iter().all(|purse| self.has_free(purse, usage.hold)) {
            return false;
        }
        for purse in &usage.purses {
            if let Some(purse) = self.purses.get_mut(purse) {
                purse.free -= hold;
                purse.held += hold;
                purse.use_at(now_ms);
            }
        }
        true
    }

    fn has_free(&self, purse: &str, amount: Nanos) -> bool {
        self.purses.get(purse).is_some_and(|purse| purse.free >= amount.0)
    }

    fn start(&mut self, usage: Usage) {
        let usage = Arc::new(usage);
        self.writes.push(Entry::Start(usage.clone()));
        let open = Open {
            usage,
            n_noted: 0,
            is_in_log: false,
            ack: None,
        };
        self.open.insert(open.usage.id, open);
    }

    /// What is returned resolves once the log has the start of a running request, so that it is not lost with the
    /// process; `None` where it is not running. Asked once, right after it was admitted.
    pub(crate) fn when_noted(&mut self, id: UsageId) -> Option<oneshot::Receiver<()>> {
        let open = self.open.get_mut(&id)?;
        let (ack, noted) = oneshot::channel();
        if open.is_in_log {
            let _ = ack.send(());
        } else {
            open.ack = Some(ack);
        }
        Some(noted)
    }

    /// A running request has generated so many tokens by now, which is noted in the log: what is known of a request if
    /// the process is killed.
    pub(crate) fn generated(&mut self, id: UsageId, n_completion: u64) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if n_completion > open.n_noted {
            open.n_noted = n_completion;
            self.writes.push(Entry::Tick { id, n_completion });
        }
    }

    /// A request is over: exactly once, whoever says so first. What is returned resolves when its usage would survive a
    /// power cut; `None` where it had ended before.
    pub(crate) fn end(
        &mut self,
        id: UsageId,
        tokens: Tokens,
        status: Status,
        at: Timestamp,
    ) -> Option<oneshot::Receiver<()>> {
        let usage = Arc::unwrap_or_clone(self.open.remove(&id)?.usage);
        let usage = Arc::new(usage.ended(tokens, status, at));
        for purse in purses_of(&usage) {
            if let Some(purse) = self.purses.get_mut(purse) {
                purse.held -= usage.hold.0;
                purse.free += usage.hold.0;
                purse.pace.spend(usage.charge().0, self.now_ms);
            }
        }
        self.writes.push(Entry::End(usage.clone()));
        let (ack, safe) = oneshot::channel();
        self.put_ended(usage, false).acks.push(ack);
        Some(safe)
    }

    fn put_ended(&mut self, usage: Arc<Usage>, is_safe: bool) -> &mut Ended {
        for purse in purses_of(&usage) {
            let purse = self.purses.entry(purse.clone()).or_default();
            purse.free -= usage.charge().0;
            purse.unposted += usage.charge().0;
        }
        self.ended.entry(usage.id).or_insert(Ended {
            usage,
            is_safe,
            acks: Vec::new(),
        })
    }

    /// What the log has to be given next. Where the log has failed: everything that it may not have.
    pub(crate) fn take_writes(&mut self) -> Vec<Entry> {
        if self.log_is_good {
            return std::mem::take(&mut self.writes);
        }
        self.writes.clear();
        let mut entries = Vec::new();
        for open in self.open.values() {
            entries.push(Entry::Start(open.usage.clone()));
            if open.n_noted > 0 {
                entries.push(Entry::Tick {
                    id: open.usage.id,
                    n_completion: open.n_noted,
                });
            }
        }
        let unsafe_ones = self.ended.values().filter(|ended| !ended.is_safe);
        entries.extend(unsafe_ones.map(|ended| Entry::End(ended.usage.clone())));
        entries
    }

    /// Whether the log has anything to do.
    pub(crate) fn has_writes(&self) -> bool {
        !self.writes.is_empty() || !self.log_is_good
    }

    /// What became of entries that were taken. With `is_good` they are in the log, and where there was an end among
    /// them, on the disk.
    pub(crate) fn written(&mut self, entries: &[Entry], is_good: bool) {
        self.log_is_good = is_good;
        if !is_good {
            // What an earlier write had made safe is safe; a start, or an end that nobody was told of, may not be.
            return;
        }
        for entry in entries {
            match entry {
                Entry::End(usage) => {
                    if let Some(ended) = self.ended.get_mut(&usage.id) {
                        ended.is_safe = true;
                        for ack in ended.acks.drain(..) {
                            let _ = ack.send(());
                        }
                    }
                }
                Entry::Start(usage) => {
                    if let Some(open) = self.open.get_mut(&usage.id) {
                        open.is_in_log = true;
                        let _ = open.ack.take().map(|ack| ack.send(()));
                    }
                }
                Entry::Tick { .. } => {}
            }
        }
    }

    /// Requests that the database has learnt of since this was last asked.
    pub(crate) fn take_posted(&mut self) -> Vec<UsageId> {
        std::mem::take(&mut self.posted)
    }

    /// Whether an exchange must be preceded by a look at the leases: the last one may or may not have been done.
    pub(crate) fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// What the database says is lent to this server, asked while no exchange was out.
    pub(crate) fn reconcile(&mut self, epoch: i64, leases: &BTreeMap<String, i64>) {
        self.epoch = epoch;
        for name in leases.keys() {
            self.purses.entry(name.clone()).or_default();
        }
        for (name, purse) in &mut self.purses {
            let lent = leases.get(name).copied().unwrap_or(0);
            purse.returning = 0;
            purse.free = lent - purse.held - purse.unposted;
        }
        self.is_unsure = false;
    }

    /// The next transaction with the database, if there is reason for one and none is out.
    pub(crate) fn next_exchange(&mut self, now: Timestamp, now_ms: u64) -> Option<Exchange> {
        self.now_ms = now_ms;
        if self.is_asking || self.is_unsure || self.is_fenced {
            return None;
        }
        let usage = self.ended.values().take(EXCHANGE_USAGE);
        let usage: Vec<Arc<Usage>> = usage.map(|ended| ended.usage.clone()).collect();
        let wants = self.wants(now_ms);
        let returns = self.idle(&wants, now_ms);
        let is_due = self.is_shared && now_ms.saturating_sub(self.heard_ms) >= HEARTBEAT_MS;
        let slots = self.slots.wishes(now_ms);
        let is_beat = self.is_shared && (self.slots.is_due(now_ms) || !slots.is_empty());
        if usage.is_empty() && wants.is_empty() && returns.is_empty() && !is_due && !is_beat {
            return None;
        }
        for demand in &mut self.demands {
            demand.was_asked = true;
        }
        (self.is_asking, self.asked_ms) = (true, now_ms);
        Some(Exchange {
            replica: self.replica.clone(),
            epoch: self.epoch,
            now,
            usage,
            returns,
            wants,
            slots,
            lease: self.slots.lease(),
            is_beat,
        })
    }

    /// What became of an exchange.
    pub(crate) fn exchanged(
        &mut self,
        exchange: &Exchange,
        outcome: Result<Outcome, ExchangeError>,
        now_ms: u64,
    ) {
        self.is_asking = false;
        match outcome {
            Ok(outcome) => {
                self.heard_ms = now_ms;
                self.slots.exchanged(exchange, &outcome, self.asked_ms);
                self.apply(exchange, &outcome, now_ms);
                self.serve(exchange, &outcome, now_ms);
            }
            Err(ExchangeError::Unknown) => self.is_unsure = true,
            Err(ExchangeError::Fenced) => self.is_fenced = true,
        }
        self.give_up_waiting(now_ms);
    }

    fn apply(&mut self, exchange: &Exchange, outcome: &Outcome, now_ms: u64) {
        for usage in &exchange.usage {
            let Some(ended) = self.ended.remove(&usage.id) else {
                continue;
            };
            for purse in purses_of(usage) {
                if let Some(purse) = self.purses.get_mut(purse) {
                    purse.unposted -= usage.charge().0;
                    if outcome.known.contains(&usage.id) {
                        purse.free += usage.charge().0;
                    }
                }
            }
            for ack in ended.acks {
                let _ = ack.send(());
            }
            self.posted.push(usage.id);
        }
        for name in exchange.returns.keys() {
            if let Some(purse) = self.purses.get_mut(name) {
                (purse.returning, purse.is_recalled) = (0, false);
            }
        }
        for grant in &outcome.grants {
            let purse = self.purses.entry(grant.purse.clone()).or_default();
            purse.free += grant.amount;
            let want = exchange.wants.iter().find(|want| want.purse == grant.purse);
            match want {
                Some(want) if want.need == 0 => {
                    if grant.amount < want.extra / 2 {
                        purse.ask_ahead_at_ms = now_ms + ASK_AHEAD_PAUSE_MS;
                    }
                }
                _ => {
                    purse.is_tight = grant.is_tight;
                    purse.use_at(now_ms);
                }
            }
        }
        for name in &outcome.recalled {
            match self.purses.get_mut(name) {
                Some(purse) => purse.is_tight = true,
                None => self.slots.call_back(name),
            }
        }
        // What an earlier process has left may be more than it was still lent: the database has charged all of it, and
        // what remains here is asked for.
        self.is_unsure |= self.purses.values().any(|purse| purse.free < 0);
    }

    /// Admits those who waited as far as there is money now. One for whom there was none in the database is refused,
    /// unless other servers may still give some back; one whose money others here were faster to take asks again.
    fn serve(&mut self, exchange: &Exchange, outcome: &Outcome, now_ms: u64) {
        let is_empty = |grant: &&Grant| {
            let want = exchange.wants.iter().find(|want| want.purse == grant.purse);
            want.is_some_and(|want| grant.amount < want.need)
        };
        let empty: BTreeSet<&String> = outcome
            .grants
            .iter()
            .filter(is_empty)
            .map(|grant| &grant.purse)
            .collect();
        for demand in std::mem::take(&mut self.demands) {
            if demand.reply.is_closed() {
                continue;
            }
            if self.take_hold(&demand.usage, now_ms) {
                self.admit_waiting(demand);
                continue;
            }
            let is_elsewhere = outcome
                .grants
                .iter()
                .any(|grant| grant.elsewhere > 0 && demand.usage.purses.contains(&grant.purse));
            let waited_ms = now_ms.saturating_sub(demand.since_ms);
            let is_short =
                |purse: &&String| empty.contains(purse) && !self.has_free(purse, demand.usage.hold);
            let is_refused = demand.was_asked && demand.usage.purses.iter().any(|purse| is_short(&purse));
            if !is_refused || (is_elsewhere && waited_ms < RECALL_MS) {
                self.demands.push_back(demand);
                continue;
            }
            let refusal = self.shortage(&demand.usage);
            let _ = demand.reply.send(Err(refusal));
        }
    }

    fn admit_waiting(&mut self, demand: Demand) {
        let (id, at) = (demand.usage.id, demand.usage.admitted_at);
        self.start(demand.usage);
        if demand.reply.send(Ok(())).is_err() {
            // Whoever waited has left meanwhile.
            let _ = self.end(id, Tokens::default(), Status::Failed, at);
        }
    }

    /// The purse that has the least for this request.
    fn shortage(&self, usage: &Usage) -> Refusal {
        let free = |purse: &String| self.purses.get(purse).map_or(0, |purse| purse.free.max(0));
        let least = usage.purses.iter().min_by_key(|purse| free(purse));
        match least {
            Some(purse) => Refusal::Insufficient {
                purse: purse.clone(),
                budget: Nanos(free(purse)),
            },
            None => Refusal::Unavailable("a request with a price has no purse"),
        }
    }

    /// Refuses those who have waited too long for a database that does not answer.
    pub(crate) fn give_up_waiting(&mut self, now_ms: u64) {
        let is_lost = self.is_fenced;
        for demand in std::mem::take(&mut self.demands) {
            if is_lost || now_ms.saturating_sub(demand.since_ms) >= STORE_MS {
                let refusal = Refusal::Unavailable("the accounts database does not answer");
                let _ = demand.reply.send(Err(refusal));
            } else {
                self.demands.push_back(demand);
            }
        }
    }

    /// Requests that are running.
    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Requests that have ended and are in no database yet.
    pub(crate) fn n_unposted(&self) -> usize {
        self.ended.len()
    }

    /// Whether the log takes entries.
    pub(crate) fn log_is_good(&self) -> bool {
        self.log_is_good
    }

    /// Whether another process has taken this one's place.
    pub(crate) fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// What is in flight here, and what else may be.
    pub(crate) fn slots(&mut self) -> &mut SlotBook {
        &mut self.slots
    }
}

/// The purses that a request's hold lies in; none where it holds nothing.
fn purses_of(usage: &Usage) -> &[String] {
    if usage.hold.0 == 0 { &[] } else { &usage.purses }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::exchange::Want;
    use crate::ledger::purse::AHEAD_MINUTES;
    use crate::ledger::record::tests::usage;

    fn wanted(exchange: &Exchange, amount: i64) -> Outcome {
        let grant = |want: &Want| Grant {
            purse: want.purse.clone(),
            amount,
            is_tight: false,
            elsewhere: 0,
        };
        Outcome {
            grants: exchange.wants.iter().map(grant).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn whose_money_another_was_faster_to_take_is_not_refused_but_asks_again() {
        let mut book = Book::new("r", false, SlotLease::default(), 0);
        book.reconcile(1, &BTreeMap::from([("credit/team".to_owned(), 40)]));
        let now = Timestamp::from_millis(0);
        // 50 are to be held, and 40 are here: 10 are asked for.
        let Ok(Admission::Waiting(mut told)) = book.admit(usage(1), 0) else {
            panic!("it has to wait")
        };
        let first = book.next_exchange(now, 0).expect("somebody waits");
        assert_eq!(first.wants[0].need, 10);
        let mut small = usage(2);
        small.hold = Nanos(30);
        assert!(
            matches!(book.admit(small, 0), Ok(Admission::Held)),
            "it takes what is here"
        );
        let outcome = wanted(&first, 10);
        book.exchanged(&first, Ok(outcome), 0);
        assert!(told.try_recv().is_err(), "neither admitted nor refused");
        let second = book.next_exchange(now, 0).expect("it still waits");
        assert_eq!(second.wants[0].need, 30);
        let outcome = wanted(&second, 29);
        book.exchanged(&second, Ok(outcome), 0);
        let refused = Refusal::Insufficient {
            purse: "credit/team".to_owned(),
            budget: Nanos(49),
        };
        assert_eq!(
            told.try_recv(),
            Ok(Err(refused)),
            "there is no more in the database"
        );
        book.check_integrity().expect("it is whole");
    }

    #[test]
    fn minutes_of_spending_are_asked_for_beforehand() {
        let mut book = Book::new("r", true, SlotLease::default(), 0);
        book.reconcile(1, &BTreeMap::from([("credit/team".to_owned(), 60)]));
        let (now, mut asked) = (Timestamp::from_millis(0), Vec::new());
        assert!(matches!(book.admit(usage(1), 30_000), Ok(Admission::Held)));
        let tokens = Tokens {
            n_prompt: 5,
            n_cached: None,
            n_completion: 10,
        };
        book.end(usage(1).id, tokens, Status::Done, now).expect("it ran");
        let exchange = book.next_exchange(now, 30_000).expect("usage to tell");
        asked.extend(exchange.wants.iter().map(|want| (want.need, want.extra)));
        // 40 in half a minute are 80 in a minute.
        assert_eq!(asked, [(0, 80 * AHEAD_MINUTES - 20)]);
        let outcome = wanted(&exchange, 0);
        book.exchanged(&exchange, Ok(outcome), 30_000);
        assert!(
            book.next_exchange(now, 30_001).is_none(),
            "there was nothing: not at once again"
        );
    }
}

#[cfg(test)]
mod integrity {
    use super::*;

    impl Book {
        /// What must hold between any two calls; the fault where it does not.
        pub(crate) fn check_integrity(&self) -> Result<(), String> {
            let mut held: BTreeMap<&String, i64> = BTreeMap::new();
            for open in self.open.values() {
                for purse in purses_of(&open.usage) {
                    *held.entry(purse).or_default() += open.usage.hold.0;
                }
            }
            let mut unposted: BTreeMap<&String, i64> = BTreeMap::new();
            for ended in self.ended.values() {
                for purse in purses_of(&ended.usage) {
                    *unposted.entry(purse).or_default() += ended.usage.charge().0;
                }
            }
            for (name, purse) in &self.purses {
                let expected = (
                    held.get(name).copied().unwrap_or(0),
                    unposted.get(name).copied().unwrap_or(0),
                );
                if (purse.held, purse.unposted) != expected {
                    return Err(format!(
                        "{name}: {purse:?}, but held and unposted are {expected:?}"
                    ));
                }
                if purse.free + purse.unposted < 0 && !self.is_unsure {
                    return Err(format!("{name}: {purse:?}"));
                }
            }
            Ok(())
        }
    }
}
