//! What a server and the database tell each other: usage one way, leases the other, in one transaction.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use super::record::{Usage, UsageId};
use super::slots::SlotLease;
use crate::clock::Timestamp;

/// A future of the store.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ExchangeError>> + Send + 'a>>;

/// Money, in nano-dollars, that a server would like to be lent from a purse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    pub(crate) purse: String,
    /// Whose purse it is, for one that has to be made.
    pub(crate) team_id: String,
    /// What requests are waiting for; 0 where it is only asked for beforehand.
    pub(crate) need: i64,
    /// What would spare asking again soon, and let requests go on while the database is away.
    pub(crate) extra: i64,
}

/// Sequences in flight that a server would like to hold of a place: a project and a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SlotWish {
    pub(crate) place: String,
    /// What all servers together may hold.
    pub(crate) limit: i64,
    /// What this server holds, and does not give up.
    pub(crate) held: i64,
    /// What it needs in all, with requests that wait.
    pub(crate) need: i64,
    /// What would spare asking again soon.
    pub(crate) extra: i64,
}

/// What a server holds of a place from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SlotGrant {
    pub(crate) place: String,
    pub(crate) amount: i64,
    /// So few are left that nothing should lie idle.
    pub(crate) is_tight: bool,
    /// What other servers hold.
    pub(crate) elsewhere: i64,
}

/// One transaction of a server with the database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) replica: String,
    pub(crate) epoch: i64,
    pub(crate) now: Timestamp,
    /// Requests that have ended; those that the database has already change nothing.
    pub(crate) usage: Vec<Arc<Usage>>,
    /// Leases given back, by purse.
    pub(crate) returns: BTreeMap<String, i64>,
    pub(crate) wants: Vec<Want>,
    /// What is in flight here: each a whole, not a difference.
    pub(crate) slots: Vec<SlotWish>,
    pub(crate) lease: SlotLease,
    /// Tells that this server is there, so that its slots stay its own.
    pub(crate) is_beat: bool,
}

/// What a purse lends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    pub(crate) purse: String,
    /// At most what was needed and the extra; less than the need only where there is no more.
    pub(crate) amount: i64,
    /// So little is left that nothing should lie idle.
    pub(crate) is_tight: bool,
    /// What is lent to other servers.
    pub(crate) elsewhere: i64,
}

/// What the database did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// Requests that the database had already, and whose leases it had charged when they were last read.
    pub(crate) known: Vec<UsageId>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) slots: Vec<SlotGrant>,
    /// Purses and places of which others wait for what is lent here.
    pub(crate) recalled: Vec<String>,
}

/// Why an exchange came to nothing, or may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// It is not known whether it was done.
    #[error("the database did not answer")]
    Unknown,
    /// Another process goes under this server's name.
    #[error("another process has taken this server's place")]
    Fenced,
}

/// The durable side of the ledger.
pub(crate) trait LedgerStore: Send + Sync {
    /// Takes the name `replica` for this process, which calls itself `owner`; whoever had it before is fenced. Its leases
    /// stay.
    fn register<'a>(&'a self, replica: &'a str, owner: &'a str, now: Timestamp) -> Answer<'a, ()>;

    /// What this server is lent, by purse, and a new epoch: an exchange of the old one that is still on its way will be
    /// fenced, so that what is read here stays true.
    fn leases<'a>(&'a self, replica: &'a str, owner: &'a str) -> Answer<'a, (i64, BTreeMap<String, i64>)>;

    /// Does all of an exchange or nothing.
    fn exchange<'a>(&'a self, exchange: &'a Exchange) -> Answer<'a, Outcome>;

    /// Whether other servers lend from the same purses.
    fn is_shared(&self) -> bool;
}
