//! The ledger in the database: leases out of purses, and usage into the chain, all of an exchange in one transaction.
//!
//! Whoever needs several rows takes them in the same order: the server's own, then the teams' chains, then purses, each
//! sorted by name, then places. Where two get in each other's way all the same, the database undoes one and it is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::StoreError;
use super::db::{Db, Row, Tx, Value, values};
use super::purses::{PurseRow, lock_purses, make_purse};
use super::slots::{beat, free_slots, grant_slots};
use crate::chain::{EMPTY, Head, usage_hash};
use crate::clock::Timestamp;
use crate::ledger::{Answer, Exchange, ExchangeError, Grant, LedgerStore, Outcome, Usage};
use crate::secret::ServerSecret;

/// Rows of usage in one statement.
const ROWS_AT_ONCE: usize = 50;
/// Exchanges that are done again after a conflict.
const MAX_TRIES: usize = 10;
/// A server that has not been heard of for so long counts as gone when money is shared out.
const ALIVE_MS: i64 = 30_000;
/// For so long after somebody waited in vain, nobody keeps what lies idle.
const RECALL_MS: i64 = 2_000;

/// The ledger's side of the database.
pub(crate) struct DbLedger {
    pub(crate) db: Arc<Db>,
    pub(crate) secret: Arc<ServerSecret>,
}

impl LedgerStore for DbLedger {
    fn register<'a>(&'a self, replica: &'a str, owner: &'a str, now: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move { self.take_name(replica, owner, now).await.map_err(lost) })
    }

    fn leases<'a>(&'a self, replica: &'a str, owner: &'a str) -> Answer<'a, (i64, BTreeMap<String, i64>)> {
        Box::pin(async move {
            let leases = self.read_leases(replica, owner).await.map_err(lost)?;
            leases.ok_or(ExchangeError::Fenced)
        })
    }

    fn exchange<'a>(&'a self, exchange: &'a Exchange) -> Answer<'a, Outcome> {
        Box::pin(async move {
            for _ in 0..MAX_TRIES {
                match self.try_exchange(exchange).await {
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(lost(error)),
                    Ok(outcome) => return outcome.ok_or(ExchangeError::Fenced),
                }
            }
            Err(ExchangeError::Unknown)
        })
    }

    fn is_shared(&self) -> bool {
        self.db.is_shared()
    }
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn lost(error: StoreError) -> ExchangeError {
    tracing::warn!(%error, "the ledger's database");
    ExchangeError::Unknown
}

impl DbLedger {
    async fn take_name(&self, replica: &str, owner: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO replicas (id, owner, epoch, started_at, heartbeat_at) VALUES ($1, $2, 1, $3, $3)
             ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, epoch = replicas.epoch + 1,
                 started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at",
            &values![replica, owner, now.as_millis()],
        )
        .await?;
        // What ran in the process before this one is over.
        free_slots(&mut tx, replica).await?;
        tx.commit().await
    }

    async fn read_leases(
        &self,
        replica: &str,
        owner: &str,
    ) -> Result<Option<(i64, BTreeMap<String, i64>)>, StoreError> {
        let mut tx = self.db.begin().await?;
        // Waits for a transaction of this server's that is still at work, and turns away one that is still to come.
        let row = tx
            .row(
                "UPDATE replicas SET epoch = epoch + 1 WHERE id = $1 AND owner = $2 RETURNING epoch",
                &values![replica, owner],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let epoch = row.int(0)?;
        let rows = tx
            .rows(
                "SELECT purse_id, amount_n FROM leases WHERE replica_id = $1",
                &values![replica],
            )
            .await?;
        let lease = |row: &Row| Ok((row.text(0)?, row.int(1)?));
        let leases = rows.iter().map(lease).collect::<Result<_, StoreError>>()?;
        tx.commit().await?;
        Ok(Some((epoch, leases)))
    }

    /// `None` where the server is fenced.
    async fn try_exchange(&self, exchange: &Exchange) -> Result<Option<Outcome>, StoreError> {
        let mut tx = self.db.begin().await?;
        let is_ours = tx
            .execute(
                "UPDATE replicas SET heartbeat_at = $3 WHERE id = $1 AND epoch = $2",
                &values![&exchange.replica, exchange.epoch, exchange.now.as_millis()],
            )
            .await?;
        if is_ours == 0 {
            return Ok(None);
        }
        let (fresh, known) = fresh(&mut tx, &exchange.usage).await?;
        self.append_usage(&mut tx, exchange, &fresh).await?;
        let mut names: BTreeSet<String> = fresh.iter().flat_map(|usage| usage.counted_by()).collect();
        names.extend(exchange.returns.keys().cloned());
        names.extend(exchange.wants.iter().map(|want| want.purse.clone()));
        let mut purses = lock_purses(&mut tx, &exchange.replica, &names).await?;
        charge(&mut tx, exchange, &fresh, &mut purses).await?;
        give_back(&mut tx, exchange, &mut purses).await?;
        let grants = lend(&mut tx, exchange, &mut purses).await?;
        if exchange.is_beat {
            beat(&mut tx, exchange).await?;
        }
        let slots = grant_slots(&mut tx, exchange).await?;
        let recalled = if self.db.is_shared() {
            recalled(&mut tx, exchange).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        let known = known.iter().map(|usage| usage.id).collect();
        Ok(Some(Outcome {
            known,
            grants,
            slots,
            recalled,
        }))
    }

    /// Adds usage to the chains of its teams, to the daily sums and to what is left of grants.
    async fn append_usage(
        &self,
        tx: &mut Tx,
        exchange: &Exchange,
        fresh: &[&Usage],
    ) -> Result<(), StoreError> {
        let teams: BTreeSet<&String> = fresh.iter().map(|usage| &usage.team_id).collect();
        for team_id in teams {
            let (mut seq, mut head) = lock_chain(tx, team_id).await?;
            let mut rows = Vec::new();
            let of_team = fresh.iter().filter(|usage| usage.team_id == *team_id);
            for usage in of_team.copied() {
                seq += 1;
                head = usage_hash(&self.secret, &head, seq, &exchange.replica, usage);
                rows.push((seq, head, usage));
            }
            for rows in rows.chunks(ROWS_AT_ONCE) {
                insert_usage(tx, &exchange.replica, rows).await?;
            }
            set_chain(tx, team_id, seq, &head).await?;
            let cost = rows.iter().map(|(_, _, usage)| usage.cost.0).sum();
            use_grants(tx, team_id, cost).await?;
        }
        add_to_days(tx, fresh).await
    }
}

/// The requests that the database does not have yet, and those that it has. Only this server tells of them, and its row
/// is taken.
async fn fresh<'a>(
    tx: &mut Tx,
    usage: &'a [Arc<Usage>],
) -> Result<(Vec<&'a Usage>, Vec<&'a Usage>), StoreError> {
    if usage.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let ids: Vec<Value> = usage
        .iter()
        .map(|usage| Value::from(usage.id.to_string()))
        .collect();
    let sql = format!("SELECT id FROM usage WHERE id IN ({})", tx.places(1, ids.len()));
    let known = tx.rows(&sql, &ids).await?;
    let known: BTreeSet<String> = known.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    let is_fresh = |usage: &&Usage| known.is_empty() || !known.contains(&usage.id.to_string());
    Ok(usage.iter().map(Arc::as_ref).partition(is_fresh))
}

/// The end of a team's chain, which nobody else can add to until this transaction is over.
pub(crate) async fn lock_chain(tx: &mut Tx, team_id: &str) -> Result<(i64, Head), StoreError> {
    let sql = format!(
        "SELECT seq, head FROM chains WHERE team_id = $1{}",
        tx.for_update()
    );
    if let Some(row) = tx.row(&sql, &values![team_id]).await? {
        return chain_of(&row);
    }
    tx.execute(
        "INSERT INTO chains (team_id, seq, head) VALUES ($1, 0, $2) ON CONFLICT (team_id) DO NOTHING",
        &values![team_id, &EMPTY[..]],
    )
    .await?;
    let row = tx.row(&sql, &values![team_id]).await?;
    chain_of(&row.ok_or_else(|| StoreError::decode("a chain's row is gone"))?)
}

fn chain_of(row: &Row) -> Result<(i64, Head), StoreError> {
    let head = row.blob(1)?.try_into();
    Ok((
        row.int(0)?,
        head.map_err(|_| StoreError::decode("chains.head is not 32 bytes"))?,
    ))
}

pub(crate) async fn set_chain(tx: &mut Tx, team_id: &str, seq: i64, head: &Head) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE chains SET seq = $2, head = $3 WHERE team_id = $1",
        &values![team_id, seq, &head[..]],
    )
    .await?;
    Ok(())
}

async fn insert_usage(tx: &mut Tx, replica: &str, rows: &[(i64, Head, &Usage)]) -> Result<(), StoreError> {
    const COLUMNS: usize = 21;
    let tuples: Vec<String> = (0..rows.len())
        .map(|idx| format!("({})", tx.places(idx * COLUMNS + 1, COLUMNS)))
        .collect();
    let sql = format!(
        "INSERT INTO usage (id, team_id, seq, project_id, key_id, model, price_version, input_n, cached_n, output_n,
                            n_prompt, n_cached, n_completion, hold_n, cost_n, status, replica_id, admitted_at, ended_at,
                            hash, adapter) VALUES {}",
        tuples.join(", ")
    );
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut bound = Vec::with_capacity(rows.len() * COLUMNS);
    for (seq, hash, usage) in rows {
        bound.extend(values![
            usage.id.to_string(),
            &usage.team_id,
            *seq,
            &usage.project_id,
            &usage.key_id,
            &usage.model,
            usage.price.version,
            usage.price.input.0,
            usage.price.cached_input.0,
            usage.price.output.0,
            count(usage.tokens.n_prompt),
            usage.tokens.n_cached.map(count),
            count(usage.tokens.n_completion),
            usage.hold.0,
            usage.cost.0,
            usage.status.name(),
            replica,
            usage.admitted_at.as_millis(),
            usage.ended_at.as_millis(),
            &hash[..],
            usage.adapter.clone(),
        ]);
    }
    tx.execute(&sql, &bound).await?;
    Ok(())
}

/// Takes `cost` from the team's grants, the one that ends first first.
async fn use_grants(tx: &mut Tx, team_id: &str, mut cost: i64) -> Result<(), StoreError> {
    if cost == 0 {
        return Ok(());
    }
    let rows = tx
        .rows(
            "SELECT seq, amount_n - used_n - expired_n FROM grants WHERE team_id = $1 AND is_open = 1
             ORDER BY expires_at IS NULL, expires_at, seq",
            &values![team_id],
        )
        .await?;
    for row in rows {
        let (seq, left) = (row.int(0)?, row.int(1)?);
        let part = left.min(cost);
        cost -= part;
        tx.execute(
            "UPDATE grants SET used_n = used_n + $3, is_open = $4 WHERE team_id = $1 AND seq = $2",
            &values![team_id, seq, part, i64::from(part < left)],
        )
        .await?;
        if cost == 0 {
            break;
        }
    }
    Ok(())
}

/// A daily sum's day, team, project, key, model and adapter.
type SumName<'a> = (i64, &'a str, &'a str, &'a str, &'a str, &'a str);

async fn add_to_days(tx: &mut Tx, fresh: &[&Usage]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<SumName<'_>, [i64; 5]> = BTreeMap::new();
    for usage in fresh {
        let name = (
            usage.admitted_at.day(),
            usage.team_id.as_str(),
            usage.project_id.as_str(),
            usage.key_id.as_str(),
            usage.model.as_str(),
            usage.adapter.as_deref().unwrap_or_default(),
        );
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let tokens = usage.tokens;
        let more = [
            1,
            count(tokens.n_prompt),
            count(tokens.n_cached.unwrap_or(0)),
            count(tokens.n_completion),
            usage.cost.0,
        ];
        let sum = sums.entry(name).or_default();
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    }
    for ((day, team, project, key, model, adapter), [n, prompt, cached, completion, cost]) in sums {
        tx.execute(
            "INSERT INTO usage_daily (day, team_id, project_id, key_id, model, adapter, n_requests, n_prompt, n_cached,
                                      n_completion, cost_n)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (team_id, day, project_id, key_id, model, adapter) DO UPDATE SET
                 n_requests = usage_daily.n_requests + excluded.n_requests,
                 n_prompt = usage_daily.n_prompt + excluded.n_prompt,
                 n_cached = usage_daily.n_cached + excluded.n_cached,
                 n_completion = usage_daily.n_completion + excluded.n_completion,
                 cost_n = usage_daily.cost_n + excluded.cost_n",
            &values![day, team, project, key, model, adapter, n, prompt, cached, completion, cost],
        )
        .await?;
    }
    Ok(())
}

/// Moves what was used from leased to spent.
async fn charge(
    tx: &mut Tx,
    exchange: &Exchange,
    fresh: &[&Usage],
    purses: &mut BTreeMap<String, PurseRow>,
) -> Result<(), StoreError> {
    let mut changes: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for usage in fresh {
        for purse in usage.counted_by() {
            let held = usage.purses.contains(&purse);
            let change = changes.entry(purse).or_default();
            change.0 += usage.cost.0;
            change.1 += if held { usage.charge().0 } else { 0 };
        }
    }
    for (name, (spent, from_lease)) in changes {
        let Some(purse) = purses.get_mut(&name) else {
            continue;
        };
        if spent == 0 {
            continue;
        }
        // A lease that was taken away meanwhile pays nothing; what ran is spent all the same.
        let from_lease = from_lease.min(purse.own);
        purse.spent += spent;
        take_from_lease(tx, exchange, &name, purse, from_lease).await?;
        tx.execute(
            "UPDATE purses SET spent_n = spent_n + $2 WHERE id = $1",
            &values![&name, spent],
        )
        .await?;
    }
    Ok(())
}

async fn take_from_lease(
    tx: &mut Tx,
    exchange: &Exchange,
    name: &str,
    purse: &mut PurseRow,
    amount: i64,
) -> Result<(), StoreError> {
    if amount == 0 {
        return Ok(());
    }
    purse.leased -= amount;
    purse.own -= amount;
    tx.execute(
        "UPDATE purses SET leased_n = leased_n - $2 WHERE id = $1",
        &values![name, amount],
    )
    .await?;
    tx.execute(
        "UPDATE leases SET amount_n = amount_n - $3 WHERE replica_id = $1 AND purse_id = $2",
        &values![&exchange.replica, name, amount],
    )
    .await?;
    Ok(())
}

async fn give_back(
    tx: &mut Tx,
    exchange: &Exchange,
    purses: &mut BTreeMap<String, PurseRow>,
) -> Result<(), StoreError> {
    for (name, amount) in &exchange.returns {
        if let Some(purse) = purses.get_mut(name) {
            let amount = (*amount).min(purse.own);
            take_from_lease(tx, exchange, name, purse, amount).await?;
        }
    }
    Ok(())
}

/// Lends what is wanted, as far as there is any.
async fn lend(
    tx: &mut Tx,
    exchange: &Exchange,
    purses: &mut BTreeMap<String, PurseRow>,
) -> Result<Vec<Grant>, StoreError> {
    if exchange.wants.is_empty() {
        return Ok(Vec::new());
    }
    let now = exchange.now.as_millis();
    let alive = tx
        .row(
            "SELECT COUNT(*) FROM replicas WHERE heartbeat_at > $1",
            &values![now - ALIVE_MS],
        )
        .await?;
    let n_alive = alive.map_or(Ok(1), |row| row.int(0))?.max(1);
    let mut grants = Vec::new();
    for want in &exchange.wants {
        let mut purse = match purses.get(&want.purse) {
            Some(purse) => *purse,
            // Asked for beforehand, and gone meanwhile.
            None if want.need == 0 => continue,
            None => make_purse(tx, want).await?,
        };
        let available = purse.available();
        let spare = (available - want.need).max(0) / (4 * n_alive);
        let amount = available.min(want.need.saturating_add(spare.min(want.extra)));
        if amount > 0 {
            lend_one(tx, exchange, &want.purse, amount).await?;
            purse.leased += amount;
            purse.own += amount;
        }
        let elsewhere = purse.leased - purse.own;
        if amount < want.need && elsewhere > 0 {
            tx.execute(
                "UPDATE purses SET recall_at = $2 WHERE id = $1",
                &values![&want.purse, now],
            )
            .await?;
        }
        grants.push(Grant {
            purse: want.purse.clone(),
            amount,
            is_tight: purse.available() < want.need.saturating_mul(8),
            elsewhere,
        });
        purses.insert(want.purse.clone(), purse);
    }
    Ok(grants)
}

/// The guard is in the statement itself: whatever was read before, no more is lent than there is.
async fn lend_one(tx: &mut Tx, exchange: &Exchange, purse: &str, amount: i64) -> Result<(), StoreError> {
    let n_lent = tx
        .execute(
            "UPDATE purses SET leased_n = leased_n + $2 WHERE id = $1 AND limit_n - spent_n - leased_n >= $2",
            &values![purse, amount],
        )
        .await?;
    if n_lent == 0 {
        return Err(StoreError::decode(format!("{purse} has less than it said")));
    }
    tx.execute(
        "INSERT INTO leases (replica_id, purse_id, amount_n) VALUES ($1, $2, $3)
         ON CONFLICT (replica_id, purse_id) DO UPDATE SET amount_n = leases.amount_n + excluded.amount_n",
        &values![&exchange.replica, purse, amount],
    )
    .await?;
    Ok(())
}

/// This server's leases that others have waited for in vain.
async fn recalled(tx: &mut Tx, exchange: &Exchange) -> Result<Vec<String>, StoreError> {
    let rows = tx
        .rows(
            "SELECT purses.id FROM purses JOIN leases ON leases.purse_id = purses.id
             WHERE leases.replica_id = $1 AND leases.amount_n > 0 AND purses.recall_at > $2
             UNION ALL
             SELECT places.id FROM places JOIN slots ON slots.place_id = places.id
             WHERE slots.replica_id = $1 AND places.recall_at > $2",
            &values![&exchange.replica, exchange.now.as_millis() - RECALL_MS],
        )
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}
