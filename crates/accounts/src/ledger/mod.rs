//! Exact money: what a request may cost is held before it runs, and what it did cost is taken exactly once.
//!
//! ```text
//!   admit ──▶ Book (memory): holds inside leases ──▶ end
//!               │ ▲                                   │
//!     exchange  │ │ leases                            ▼
//!               ▼ │                              Journal (this disk), synced before the last byte
//!             LedgerStore (database): purses, usage, chain ◀── shipped in batches, once by id
//! ```
//!
//! A server spends only what the database has lent it, so that no number of servers can spend more than there is; and
//! what the database does not know yet is on this disk, so that no usage is lost with the process.

mod record;

mod exchange;

mod purse;
mod slots;

mod book;

mod in_flight;

mod disk;
mod journal;

#[cfg(test)]
mod simulation;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use exchange::{
    Answer, Exchange, ExchangeError, Grant, LedgerStore, Outcome, SlotGrant, SlotWish, Want,
};
pub use in_flight::{SlotError, Slots};
pub use record::{Status, Usage, UsageId};
pub use slots::SlotLease;

use crate::clock::Clock;
use crate::limits::CapPurses;
use crate::money::{Nanos, Tokens};
use book::{Admission, Book, Refusal};
use disk::FolderDisk;
use journal::Journal;
use record::Entry;

/// How long the database may take for one exchange before it counts as silent.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// Usage is gathered for so long before it is shipped.
const GATHER: Duration = Duration::from_millis(50);
/// How often there is a look at what waits, has expired or is idle.
const ROUND: Duration = Duration::from_millis(100);
/// How long a failed log or database is left alone.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the end of an answer waits for its usage to be safe.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of service waits for the database.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// Tokens, and time, between two notes of how far a request has come.
const TICK_TOKENS: u64 = 32;
const TICK_MS: u64 = 1_000;

/// The ledger of a running server; clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

struct Shared {
    book: Mutex<Book>,
    /// The log has something to write.
    to_write: Condvar,
    /// The database has something to hear.
    to_exchange: Notify,
    /// Somebody waits for money.
    to_lend: Notify,
    store: Arc<dyn LedgerStore>,
    clock: Arc<dyn Clock>,
    begun: Instant,
    owner: String,
    replica: String,
    is_closing: AtomicBool,
    /// Nothing is written or exchanged any more.
    is_over: AtomicBool,
    /// Told when the database knows everything, after `is_closing`.
    is_closed: Notify,
}

/// Ends the work when the last handle goes, as the end of the process would: without a word to the database.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        self.0.to_write.notify_one();
        self.0.to_exchange.notify_one();
    }
}

/// Why a request is not admitted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HoldError {
    /// It could not be accounted for now.
    #[error("usage cannot be accounted for: {0}")]
    Unavailable(String),
    /// The money does not reach.
    #[error("{purse} has {budget} USD left, and {hold} USD would have to be held")]
    Insufficient {
        /// What has too little: the team's credit, or a cap.
        purse: String,
        /// What it has.
        budget: Nanos,
        /// What the request could come to.
        hold: Nanos,
    },
}

impl HoldError {
    /// Whether a cap is in the way, and not the credit.
    pub fn is_cap(&self) -> bool {
        matches!(self, HoldError::Insufficient { purse, .. } if purse.starts_with("cap/"))
    }
}

/// The usage of an answer could not be made safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("usage could not be written to the log in time")]
pub struct NotSafe;

impl Ledger {
    /// Opens the log in `folder`, takes over what it holds, and begins to work. `serving` keeps other processes from the
    /// folder for as long as it is open.
    pub(crate) async fn start(
        folder: &Path,
        replica: &str,
        store: Arc<dyn LedgerStore>,
        clock: Arc<dyn Clock>,
        serving: File,
        slots: SlotLease,
    ) -> std::io::Result<Ledger> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let owner = format!("{:016x}", u64::from_le_bytes(nonce));
        let registered = store.register(replica, &owner, clock.now()).await;
        registered.map_err(std::io::Error::other)?;
        let (journal, left) = Journal::open(FolderDisk::open(folder)?, clock.now())?;
        if !left.is_empty() {
            tracing::info!(requests = left.len(), "taking over usage from the log");
        }
        let mut book = Book::new(replica, store.is_shared(), slots, 0);
        book.recover(left);
        let shared = Arc::new(Shared {
            book: Mutex::new(book),
            to_write: Condvar::new(),
            to_exchange: Notify::new(),
            to_lend: Notify::new(),
            store,
            clock,
            begun: Instant::now(),
            owner,
            replica: replica.to_owned(),
            is_closing: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            is_closed: Notify::new(),
        });
        let writer = shared.clone();
        std::thread::Builder::new()
            .name("usage-log".to_owned())
            .spawn(move || {
                writer.write_log(journal);
                // Until here nobody else may use the folder.
                drop(serving);
            })?;
        tokio::spawn(shared.clone().exchange_all());
        Ok(Ledger {
            _alive: Arc::new(Alive(shared.clone())),
            shared,
        })
    }

    /// Holds what a request may come to. `usage` says who, what and how much; nothing has run yet.
    ///
    /// # Errors
    /// The money does not reach, or the request could not be accounted for.
    pub async fn hold(&self, usage: Usage) -> Result<Hold, HoldError> {
        let shared = &self.shared;
        let (id, hold, n_prompt) = (usage.id, usage.hold, usage.tokens.n_prompt);
        let refuse = |refusal| match refusal {
            Refusal::Unavailable(why) => HoldError::Unavailable(why.to_owned()),
            Refusal::Insufficient { purse, budget } => HoldError::Insufficient { purse, budget, hold },
        };
        // Made before it is known whether anything is held: whoever leaves while waiting, or just when it was admitted,
        // ends it by dropping this.
        let held = Hold {
            shared: shared.clone(),
            id,
            n_prompt,
            n_completion: AtomicU64::new(0),
            n_noted: AtomicU64::new(0),
            noted_at_ms: AtomicU64::new(0),
        };
        let admission = shared.book().admit(usage, shared.now_ms()).map_err(refuse)?;
        if let Admission::Waiting(told) = admission {
            shared.to_lend.notify_one();
            let gone = || HoldError::Unavailable("the ledger has ended".to_owned());
            told.await.map_err(|_| gone())?.map_err(refuse)?;
        }
        shared.to_write.notify_one();
        Ok(held)
    }

    /// Requests that are running.
    pub fn n_open(&self) -> usize {
        self.shared.book().n_open()
    }

    /// Requests that have ended and that the database does not know yet.
    pub fn n_unposted(&self) -> usize {
        self.shared.book().n_unposted()
    }

    /// Whether requests can be accounted for.
    pub fn is_able(&self) -> bool {
        let book = self.shared.book();
        book.log_is_good() && !book.is_fenced()
    }

    /// Waits until the database knows every request that has ended.
    pub async fn flush(&self) {
        while self.n_unposted() > 0 {
            self.shared.to_exchange.notify_one();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Gives back what is free of a cap's purses, after the cap was changed: what was lent under the old limit is not spent
    /// under the new one. A database that does not answer is not waited for long; it will have it with the next word.
    pub async fn give_back(&self, purses: &CapPurses) {
        self.shared.book().recall(&purses.0);
        let until_back = async {
            while self.shared.book().is_recalling() {
                self.shared.to_lend.notify_one();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(STORE_PATIENCE, until_back).await;
    }

    /// Tells the database everything, gives leases back and ends. What it cannot tell in time stays in the log.
    pub async fn close(&self) {
        let closed = self.shared.is_closed.notified();
        self.shared.is_closing.store(true, Ordering::SeqCst);
        self.shared.to_exchange.notify_one();
        self.shared.to_write.notify_one();
        if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
            tracing::warn!(
                requests = self.n_unposted(),
                "the database does not answer: their usage stays in the log"
            );
        }
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.to_write.notify_one();
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn end(&self, id: UsageId, tokens: Tokens, status: Status) -> Option<tokio::sync::oneshot::Receiver<()>> {
        let safe = self.book().end(id, tokens, status, self.clock.now());
        if safe.is_some() {
            self.to_write.notify_one();
            self.to_exchange.notify_one();
        }
        safe
    }

    /// Writes the log until the ledger has been closed. On a thread of its own: a sync blocks.
    fn write_log(&self, mut journal: Journal<FolderDisk>) {
        loop {
            let (entries, posted, is_retry) = {
                let mut book = self.book();
                if !book.has_writes() && !self.is_over() {
                    let waited = self.to_write.wait_timeout(book, PAUSE);
                    book = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                (book.take_writes(), book.take_posted(), !book.log_is_good())
            };
            if !entries.is_empty() || is_retry {
                let must_sync = is_retry || entries.iter().any(|entry| matches!(entry, Entry::End(_)));
                let written = journal.write(&entries, must_sync);
                self.book().written(&entries, written.is_ok());
                if let Err(error) = written {
                    tracing::error!(%error, "the usage log cannot be written; nothing is admitted until it can");
                    std::thread::sleep(PAUSE);
                }
            }
            journal.forget(&posted);
            journal.remove_finished();
            if self.is_over() && (entries.is_empty() || is_retry) {
                journal.forget(&self.book().take_posted());
                journal.close();
                return;
            }
        }
    }

    /// Speaks with the database until the ledger has been closed.
    async fn exchange_all(self: Arc<Self>) {
        loop {
            if self.is_over() {
                return;
            }
            let is_done = {
                let book = self.book();
                self.is_closing() && book.n_unposted() == 0 && book.n_open() == 0
            };
            if is_done {
                self.book().return_all();
            }
            let was_busy = self.exchange_once().await;
            if is_done && !was_busy {
                self.is_closed.notify_waiters();
                return;
            }
            if self.is_closing() && was_busy {
                continue;
            }
            // Usage may gather for a while; those who wait for money may not.
            tokio::select! {
                () = self.to_lend.notified() => {}
                () = self.to_exchange.notified(), if !was_busy => {}
                () = tokio::time::sleep(if was_busy { GATHER } else { ROUND }) => {}
            }
        }
    }

    /// One exchange, if there is reason for one.
    async fn exchange_once(&self) -> bool {
        if self.book().is_unsure() {
            let leases = self.store.leases(&self.replica, &self.owner);
            match tokio::time::timeout(STORE_PATIENCE, leases).await {
                Ok(Ok((epoch, leases))) => self.book().reconcile(epoch, &leases),
                Ok(Err(ExchangeError::Fenced)) => {
                    self.book()
                        .exchanged(&Exchange::default(), Err(ExchangeError::Fenced), self.now_ms());
                    return false;
                }
                _ => {
                    self.book().give_up_waiting(self.now_ms());
                    tokio::time::sleep(PAUSE).await;
                    return false;
                }
            }
        }
        let next = self.book().next_exchange(self.clock.now(), self.now_ms());
        let Some(exchange) = next else { return false };
        let outcome = tokio::time::timeout(STORE_PATIENCE, self.store.exchange(&exchange)).await;
        let outcome = outcome.unwrap_or(Err(ExchangeError::Unknown));
        self.book().exchanged(&exchange, outcome, self.now_ms());
        self.to_write.notify_one();
        true
    }
}

/// The hold of one request. It ends once: settled, failed, or, where it is just dropped, as cancelled at what has run.
pub struct Hold {
    shared: Arc<Shared>,
    id: UsageId,
    n_prompt: u64,
    n_completion: AtomicU64,
    n_noted: AtomicU64,
    noted_at_ms: AtomicU64,
}

impl Hold {
    /// The request's name in the ledger.
    pub fn id(&self) -> UsageId {
        self.id
    }

    /// Returns once the log has the request's start, so that it is not lost with the process. No byte of the answer goes
    /// out before this.
    ///
    /// # Errors
    /// The log could not take it in time.
    pub async fn noted(&self) -> Result<(), NotSafe> {
        let noted = self.shared.book().when_noted(self.id);
        let Some(noted) = noted else { return Ok(()) };
        match tokio::time::timeout(SETTLE_PATIENCE, noted).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotSafe),
        }
    }

    /// So many more tokens were generated.
    pub fn generated(&self, n_tokens: u64) {
        let n = self.n_completion.fetch_add(n_tokens, Ordering::Relaxed) + n_tokens;
        let n_noted = self.n_noted.load(Ordering::Relaxed);
        let now_ms = self.shared.now_ms();
        let is_late = now_ms.saturating_sub(self.noted_at_ms.load(Ordering::Relaxed)) >= TICK_MS;
        if n_noted == 0 || n >= n_noted + TICK_TOKENS || is_late {
            self.n_noted.store(n, Ordering::Relaxed);
            self.noted_at_ms.store(now_ms, Ordering::Relaxed);
            self.shared.book().generated(self.id, n);
            self.shared.to_write.notify_one();
        }
    }

    /// The answer is complete: charges `tokens`, and returns once that would survive a power cut. The last byte of the
    /// answer comes after this.
    ///
    /// # Errors
    /// It could not be made safe in time. It is charged all the same if it ever can.
    pub async fn settle(&self, tokens: Tokens) -> Result<(), NotSafe> {
        let Some(safe) = self.shared.end(self.id, tokens, Status::Done) else {
            return Ok(());
        };
        match tokio::time::timeout(SETTLE_PATIENCE, safe).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(NotSafe),
        }
    }

    /// There is no answer, and that is not the caller's fault: it costs nothing.
    pub fn fail(&self) {
        let _ = self.shared.end(self.id, Tokens::default(), Status::Failed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let n_completion = self.n_completion.load(Ordering::Relaxed);
        // Without a token nothing is known to have run.
        let n_prompt = if n_completion == 0 { 0 } else { self.n_prompt };
        let tokens = Tokens {
            n_prompt,
            n_cached: None,
            n_completion,
        };
        let _ = self.shared.end(self.id, tokens, Status::Cancelled);
    }
}
