//! What a server and the database tell each other: usage one way, leases the other, in one transaction.

use std::collections::BTreeMap;
use std::pin::Pin;

use super::record::{Usage, UsageId};
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

/// One transaction of a server with the database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) replica: String,
    pub(crate) epoch: i64,
    pub(crate) now: Timestamp,
    /// Requests that have ended; those that the database has already change nothing.
    pub(crate) usage: Vec<Usage>,
    /// Leases given back, by purse.
    pub(crate) returns: BTreeMap<String, i64>,
    pub(crate) wants: Vec<Want>,
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
    /// Purses whose leases others wait for.
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
