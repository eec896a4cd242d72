//! What was used, by whatever one asks for.

use crate::Accounts;
use crate::clock::Timestamp;
use crate::ledger::Usage;
use crate::manage::ManageError;
use crate::money::Nanos;

/// What the rows of a report are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupBy {
    /// Days in UTC.
    Day,
    /// Served names.
    Model,
    /// Versions of adapters; empty where none was used.
    Adapter,
    /// Projects of the team.
    Project,
    /// Keys, by their ids.
    Key,
    /// People, by the keys that they own.
    Person,
}

impl GroupBy {
    /// Every way.
    pub const ALL: [GroupBy; 6] = [
        GroupBy::Day,
        GroupBy::Model,
        GroupBy::Adapter,
        GroupBy::Project,
        GroupBy::Key,
        GroupBy::Person,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            GroupBy::Day => "day",
            GroupBy::Model => "model",
            GroupBy::Adapter => "adapter",
            GroupBy::Project => "project",
            GroupBy::Key => "key",
            GroupBy::Person => "person",
        }
    }

    /// The way called `name`.
    pub fn from_name(name: &str) -> Option<GroupBy> {
        GroupBy::ALL.into_iter().find(|by| by.name() == name)
    }
}

/// A question about usage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageQuery {
    /// Whose.
    pub team: String,
    /// The first day.
    pub from: Timestamp,
    /// The day after the last.
    pub until: Timestamp,
    /// What rows are about; several make a row for each combination, none a single row.
    pub by: Vec<GroupBy>,
}

/// A row of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// What it is about, in the order of the question.
    pub group: Vec<String>,
    /// Requests.
    pub n_requests: u64,
    /// Tokens of prompts, the cached ones among them.
    pub n_prompt: u64,
    /// Of them, those that the prefix cache had.
    pub n_cached: u64,
    /// Tokens generated.
    pub n_completion: u64,
    /// What it cost.
    pub cost: Nanos,
}

impl Accounts {
    /// Usage that the database knows of, from the daily sums; days are those of admission.
    pub async fn report(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, ManageError> {
        let mut by = query.by.clone();
        by.dedup();
        if by.len() > GroupBy::ALL.len() || query.by.len() != by.len() {
            return Err(ManageError::Invalid(
                "each way to group can be given once".to_owned(),
            ));
        }
        self.books().report(query).await
    }
}

/// One request in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerRow {
    /// Its place in the chain of its team.
    pub seq: i64,
    /// The name of its project.
    pub project: String,
    /// What was used; its purses are not told.
    pub usage: Usage,
}

impl Accounts {
    /// The requests of a team that come after place `after` of its chain, some thousands at most; none at the end.
    pub async fn ledger_rows(&self, team: &str, after: i64) -> Result<Vec<LedgerRow>, ManageError> {
        self.books().ledger_rows(team, after).await
    }
}
