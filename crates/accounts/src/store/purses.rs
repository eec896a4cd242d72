//! Purses in the database: how much may be spent, is spent, and is lent. They come into being when somebody needs them.

use std::collections::{BTreeMap, BTreeSet};

use super::StoreError;
use super::db::{Tx, Value, values};
use super::exchange::lock_chain;
use super::people::named;
use crate::clock::Period;
use crate::ledger::Want;
use crate::limits::{Scope, Tier, credit_purse};

/// The limit of a purse whose cap was taken away meanwhile.
const NO_LIMIT: i64 = i64::MAX / 4;

/// A purse as one transaction sees and changes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PurseRow {
    pub(crate) limit: i64,
    pub(crate) spent: i64,
    pub(crate) leased: i64,
    /// This server's part of `leased`.
    pub(crate) own: i64,
}

impl PurseRow {
    pub(crate) fn available(&self) -> i64 {
        self.limit
            .saturating_sub(self.spent)
            .saturating_sub(self.leased)
            .max(0)
    }
}

/// Those of the purses that there are, which nobody else can change until this transaction is over.
pub(crate) async fn lock_purses(
    tx: &mut Tx,
    replica: &str,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, PurseRow>, StoreError> {
    let mut purses = BTreeMap::new();
    let names: Vec<Value> = names.iter().map(Value::from).collect();
    // Bounded, for a statement takes only so many values.
    for names in names.chunks(500) {
        let sql = format!(
            "SELECT id, limit_n, spent_n, leased_n FROM purses WHERE id IN ({}) ORDER BY id{}",
            tx.places(1, names.len()),
            tx.for_update()
        );
        for row in tx.rows(&sql, names).await? {
            let purse = PurseRow {
                limit: row.int(1)?,
                spent: row.int(2)?,
                leased: row.int(3)?,
                own: 0,
            };
            purses.insert(row.text(0)?, purse);
        }
        let sql = format!(
            "SELECT purse_id, amount_n FROM leases WHERE purse_id IN ({}) AND replica_id = ${}",
            tx.places(1, names.len()),
            names.len() + 1
        );
        let mut bound = names.to_vec();
        bound.push(Value::from(replica));
        for row in tx.rows(&sql, &bound).await? {
            if let Some(purse) = purses.get_mut(&row.text(0)?) {
                purse.own = row.int(1)?;
            }
        }
    }
    Ok(purses)
}

/// Makes a purse that nobody has needed before. What was spent already in its window comes from the daily sums, and the
/// team's chain is taken so that they stand still.
pub(crate) async fn make_purse(tx: &mut Tx, want: &Want) -> Result<PurseRow, StoreError> {
    lock_chain(tx, &want.team_id).await?;
    let (limit, spent) = match want.purse.split('/').collect::<Vec<_>>()[..] {
        ["cap", scope, target, period, window] => {
            let scope = named(scope, Scope::from_name)?;
            let period = named(period, Period::from_name)?;
            let limit = cap_limit(tx, scope, target, period).await?;
            let days = period.days(window);
            let days = days.ok_or_else(|| StoreError::decode(format!("{window:?} is no window")))?;
            (limit, spent_in(tx, &want.team_id, scope, target, days).await?)
        }
        ["credit", team_id] => (
            0,
            spent_in(tx, team_id, Scope::Team, team_id, (i64::MIN, i64::MAX)).await?,
        ),
        _ => return Err(StoreError::decode(format!("{:?} is no purse", want.purse))),
    };
    tx.execute(
        "INSERT INTO purses (id, limit_n, spent_n, leased_n) VALUES ($1, $2, $3, 0) ON CONFLICT (id) DO NOTHING",
        &values![&want.purse, limit, spent],
    )
    .await?;
    let sql = format!(
        "SELECT limit_n, spent_n, leased_n FROM purses WHERE id = $1{}",
        tx.for_update()
    );
    let row = tx.row(&sql, &values![&want.purse]).await?;
    let row = row.ok_or_else(|| StoreError::decode("a purse is gone"))?;
    Ok(PurseRow {
        limit: row.int(0)?,
        spent: row.int(1)?,
        leased: row.int(2)?,
        own: 0,
    })
}

/// The cap that is set, or the tier's.
pub(crate) async fn cap_limit(
    tx: &mut Tx,
    scope: Scope,
    target: &str,
    period: Period,
) -> Result<i64, StoreError> {
    let row = tx
        .row(
            "SELECT limit_n FROM caps WHERE scope = $1 AND target = $2 AND period = $3",
            &values![scope.name(), target, period.name()],
        )
        .await?;
    if let Some(row) = row {
        return row.int(0);
    }
    if scope != Scope::Team {
        return Ok(NO_LIMIT);
    }
    let row = tx
        .row("SELECT tier FROM teams WHERE id = $1", &values![target])
        .await?;
    let tier = row.map(|row| named(&row.text(0)?, Tier::from_name)).transpose()?;
    let cap = tier.and_then(Tier::cap).filter(|(of, _)| *of == period);
    Ok(cap.map_or(NO_LIMIT, |(_, limit)| limit.0))
}

/// What a team, project or key spent on days from the first up to, and without, the second.
async fn spent_in(
    tx: &mut Tx,
    team_id: &str,
    scope: Scope,
    target: &str,
    days: (i64, i64),
) -> Result<i64, StoreError> {
    let column = match scope {
        Scope::Team => "team_id",
        Scope::Project => "project_id",
        Scope::Key => "key_id",
    };
    // A key may be used in several teams, and its cap counts them all.
    let team = if scope == Scope::Key {
        ""
    } else {
        "team_id = $4 AND "
    };
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(cost_n), 0) AS BIGINT) FROM usage_daily
         WHERE {team}{column} = $1 AND day >= $2 AND day < $3"
    );
    let mut bound = values![target, days.0, days.1].to_vec();
    if scope != Scope::Key {
        bound.push(Value::from(team_id));
    }
    let row = tx.row(&sql, &bound).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// The purse that a team's credit is in.
pub(crate) async fn credit_row(tx: &mut Tx, team_id: &str) -> Result<(i64, i64, i64), StoreError> {
    tx.execute(
        "INSERT INTO purses (id, limit_n, spent_n, leased_n) VALUES ($1, 0, 0, 0) ON CONFLICT (id) DO NOTHING",
        &values![credit_purse(team_id)],
    )
    .await?;
    let sql = format!(
        "SELECT limit_n, spent_n, leased_n FROM purses WHERE id = $1{}",
        tx.for_update()
    );
    let row = tx.row(&sql, &values![credit_purse(team_id)]).await?;
    let row = row.ok_or_else(|| StoreError::decode("a purse is gone"))?;
    Ok((row.int(0)?, row.int(1)?, row.int(2)?))
}
