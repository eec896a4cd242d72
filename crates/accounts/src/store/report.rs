//! Sums over usage, and the walk through the ledger that checks it.

use std::collections::HashMap;

use super::StoreError;
use super::db::{Row, values};
use super::manage::Books;
use crate::clock::Timestamp;
use crate::manage::ManageError;
use crate::money::Nanos;
use crate::report::{GroupBy, LedgerRow, UsageQuery, UsageRow};
use crate::verify::usage_of;

impl Books {
    pub(crate) async fn report(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, ManageError> {
        let team = self.team(&query.team).await?;
        let columns: Vec<&str> = query
            .by
            .iter()
            .map(|by| match by {
                GroupBy::Day => "day",
                GroupBy::Model => "model",
                GroupBy::Adapter => "adapter",
                GroupBy::Project => "projects.name",
                GroupBy::Key => "key_id",
                GroupBy::Person => "people.name",
            })
            .collect();
        let list = columns.join(", ");
        let (select, group) = if columns.is_empty() {
            (String::new(), String::new())
        } else {
            (format!("{list}, "), format!("GROUP BY {list} ORDER BY {list}"))
        };
        let sum = |column: &str| format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT)");
        let sums = ["n_requests", "n_prompt", "n_cached", "n_completion", "cost_n"].map(sum);
        let sql = format!(
            "SELECT {select}{} FROM usage_daily LEFT JOIN projects ON projects.id = usage_daily.project_id
             LEFT JOIN keys ON keys.id = usage_daily.key_id LEFT JOIN people ON people.id = keys.person_id
             WHERE usage_daily.team_id = $1 AND day >= $2 AND day < $3 {group}",
            sums.join(", ")
        );
        let days = values![&team.id, query.from.day(), query.until.day()];
        let rows = self.db.rows(&sql, &days).await?;
        let row = |row: &Row| {
            let n = query.by.len();
            let group = query.by.iter().enumerate().map(|(idx, by)| match by {
                GroupBy::Day => Ok(Timestamp::of_day(row.int(idx)?).date()),
                _ => Ok(row.opt_text(idx)?.unwrap_or_default()),
            });
            Ok(UsageRow {
                group: group.collect::<Result<_, StoreError>>()?,
                n_requests: row.int(n)?.unsigned_abs(),
                n_prompt: row.int(n + 1)?.unsigned_abs(),
                n_cached: row.int(n + 2)?.unsigned_abs(),
                n_completion: row.int(n + 3)?.unsigned_abs(),
                cost: Nanos(row.int(n + 4)?),
            })
        };
        Ok(rows.iter().map(row).collect::<Result<_, StoreError>>()?)
    }

    /// See [`crate::Accounts::ledger_rows`].
    pub(crate) async fn ledger_rows(&self, team: &str, after: i64) -> Result<Vec<LedgerRow>, ManageError> {
        let team = self.team(team).await?;
        let sql = "SELECT id, name FROM projects WHERE team_id = $1";
        let projects = self.db.rows(sql, &values![&team.id]).await?;
        let project = |row: &Row| Ok((row.text(0)?, row.text(1)?));
        let projects: HashMap<String, String> =
            projects.iter().map(project).collect::<Result<_, StoreError>>()?;
        let rows = self.usage_page(&team.id, after, i64::MAX).await?;
        let row = |row: &Row| {
            let (seq, _, usage, _) = usage_of(row)?;
            let project = projects.get(&usage.project_id).cloned().unwrap_or_default();
            Ok(LedgerRow { seq, project, usage })
        };
        Ok(rows.iter().map(row).collect::<Result<_, StoreError>>()?)
    }
}
