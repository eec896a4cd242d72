//! Credit and caps in the database: what changes how much may be spent.

use super::StoreError;
use super::db::{Row, Tx, values};
use super::exchange::{lock_chain, set_chain};
use super::manage::{Books, Change, find_team, unknown};
use super::people::{moment, named, team_of};
use super::purses::{cap_limit, credit_row};
use super::slots::free_slots;
use crate::chain::{CreditEntry, credit_hash};
use crate::clock::{Period, Timestamp};
use crate::limits::{CapPurses, Scope, cap_purse, cap_purses, credit_purse};
use crate::manage::{Balance, CapInfo, CreditInfo, ManageError, ServerInfo};
use crate::money::Nanos;
use crate::team::Team;

/// For so long servers are told to give back what they hold of a cap that was changed: longer than the longest time
/// between two words of theirs.
const RECALLED_FOR_MS: i64 = 10_000;

/// A change of a team's credit.
pub(crate) struct CreditChange<'a> {
    pub(crate) kind: &'a str,
    pub(crate) amount: Nanos,
    pub(crate) reference: &'a str,
    pub(crate) note: &'a str,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Books {
    /// Adds an entry to a team's chain and changes what its credit purse allows.
    pub(crate) async fn change_credit(
        &self,
        change: &Change<'_>,
        credit: &CreditChange<'_>,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, change.target).await?;
        let there = tx
            .row(
                "SELECT amount_n FROM entries WHERE team_id = $1 AND kind = $2 AND ref = $3",
                &values![&team.id, credit.kind, credit.reference],
            )
            .await?;
        if let Some(row) = there {
            // The same again is the same: whoever did not hear the answer may ask twice.
            return if row.int(0)? == credit.amount.0 {
                Ok(())
            } else {
                Err(ManageError::Invalid(format!(
                    "the reference {:?} was used for another amount",
                    credit.reference
                )))
            };
        }
        if !self.enter(&mut tx, &team, change, credit).await? {
            let (limit, spent, leased) = credit_row(&mut tx, &team.id).await?;
            return Err(ManageError::NotEnough {
                team: team.name,
                available: Nanos((limit - spent - leased).max(0)),
            });
        }
        Ok(self.commit(tx, change).await?)
    }

    /// False where less is left than is to be taken.
    async fn enter(
        &self,
        tx: &mut Tx,
        team: &Team,
        change: &Change<'_>,
        credit: &CreditChange<'_>,
    ) -> Result<bool, StoreError> {
        let (seq, head) = lock_chain(tx, &team.id).await?;
        let amount = credit.amount.0;
        credit_row(tx, &team.id).await?;
        let n_changed = tx
            .execute(
                "UPDATE purses SET limit_n = limit_n + $2
                 WHERE id = $1 AND ($2 >= 0 OR limit_n - spent_n - leased_n + $2 >= 0)",
                &values![credit_purse(&team.id), amount],
            )
            .await?;
        if n_changed == 0 {
            return Ok(false);
        }
        let entry = CreditEntry {
            kind: credit.kind.to_owned(),
            amount_n: amount,
            reference: credit.reference.to_owned(),
            note: credit.note.to_owned(),
            actor: change.actor.to_owned(),
            expires_at: credit.expires_at.map(Timestamp::as_millis),
            at: change.now.as_millis(),
        };
        let hash = credit_hash(&self.secret, &head, &team.id, seq + 1, &entry);
        tx.execute(
            "INSERT INTO entries (team_id, seq, kind, amount_n, ref, note, actor, expires_at, at, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &values![
                &team.id,
                seq + 1,
                credit.kind,
                amount,
                credit.reference,
                credit.note,
                change.actor,
                entry.expires_at,
                entry.at,
                &hash[..],
            ],
        )
        .await?;
        set_chain(tx, &team.id, seq + 1, &hash).await?;
        if amount > 0 {
            tx.execute(
                "INSERT INTO grants (team_id, seq, amount_n, used_n, expired_n, expires_at, is_open)
                 VALUES ($1, $2, $3, 0, 0, $4, 1)",
                &values![&team.id, seq + 1, amount, entry.expires_at],
            )
            .await?;
        }
        Ok(true)
    }

    pub(crate) async fn credit(&self, team: &str, n: u32) -> Result<(Balance, Vec<CreditInfo>), ManageError> {
        let team = self.team(team).await?;
        let row = self
            .db
            .row(
                "SELECT limit_n, spent_n, leased_n FROM purses WHERE id = $1",
                &values![credit_purse(&team.id)],
            )
            .await?;
        let column = |idx| row.as_ref().map_or(Ok(0), |row| row.int(idx)).map(Nanos);
        let balance = Balance {
            credit: column(0)?,
            spent: column(1)?,
            lent: column(2)?,
        };
        let rows = self
            .db
            .rows(
                "SELECT kind, amount_n, ref, note, at, expires_at FROM entries WHERE team_id = $1
                 ORDER BY seq DESC LIMIT $2",
                &values![&team.id, i64::from(n)],
            )
            .await?;
        let info = |row: &Row| {
            Ok(CreditInfo {
                kind: row.text(0)?,
                amount: Nanos(row.int(1)?),
                reference: row.text(2)?,
                note: row.text(3)?,
                at: Timestamp::from_millis(row.int(4)?),
                expires_at: moment(row, 5)?,
            })
        };
        let entries = rows.iter().map(info).collect::<Result<_, StoreError>>()?;
        Ok((balance, entries))
    }

    /// Takes back what has expired, as far as it is neither spent nor lent; the rest another time.
    pub(crate) async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let due = self
            .db
            .rows(
                "SELECT teams.id, teams.name, grants.seq FROM grants JOIN teams ON teams.id = grants.team_id
                 WHERE is_open = 1 AND expires_at <= $1 ORDER BY expires_at LIMIT 100",
                &values![now.as_millis()],
            )
            .await?;
        let mut n_closed = 0;
        for row in due {
            let team = Team {
                id: row.text(0)?,
                name: row.text(1)?,
            };
            n_closed += u64::from(self.expire_one(&team, row.int(2)?, now).await?);
        }
        Ok(n_closed)
    }

    async fn expire_one(&self, team: &Team, seq: i64, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        lock_chain(&mut tx, &team.id).await?;
        let left = tx
            .row(
                "SELECT amount_n - used_n - expired_n, expired_n FROM grants WHERE team_id = $1 AND seq = $2",
                &values![&team.id, seq],
            )
            .await?;
        let Some(row) = left else { return Ok(false) };
        let (left, expired) = (row.int(0)?, row.int(1)?);
        let (limit, spent, leased) = credit_row(&mut tx, &team.id).await?;
        let amount = left.min(limit - spent - leased);
        if amount <= 0 && left > 0 {
            return Ok(false);
        }
        let reference = format!("{seq}/{expired}");
        let detail = format!("{{\"amount_usd\":\"{}\"}}", Nanos(amount));
        let change = Change {
            actor: "ledger",
            action: "credit.expire",
            target: &team.name,
            detail,
            now,
        };
        let credit = CreditChange {
            kind: "expire",
            amount: Nanos(-amount),
            reference: &reference,
            note: "",
            expires_at: None,
        };
        if amount > 0 && !self.enter(&mut tx, team, &change, &credit).await? {
            return Ok(false);
        }
        tx.execute(
            "UPDATE grants SET expired_n = expired_n + $3, is_open = $4 WHERE team_id = $1 AND seq = $2",
            &values![&team.id, seq, amount, i64::from(amount < left)],
        )
        .await?;
        self.commit(tx, &change).await?;
        Ok(amount == left)
    }

    pub(crate) async fn servers(&self) -> Result<Vec<ServerInfo>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT id, started_at, heartbeat_at, (SELECT CAST(COALESCE(SUM(amount_n), 0) AS BIGINT) FROM leases
                                                       WHERE replica_id = replicas.id AND purse_id LIKE 'credit/%')
                 FROM replicas ORDER BY id",
                &[],
            )
            .await?;
        let info = |row: &Row| {
            Ok(ServerInfo {
                id: row.text(0)?,
                started_at: Timestamp::from_millis(row.int(1)?),
                heard_at: Timestamp::from_millis(row.int(2)?),
                lent: Nanos(row.int(3)?),
            })
        };
        rows.iter().map(info).collect()
    }

    /// Takes back all that a server was lent, and turns it away should it still be there.
    pub(crate) async fn release_server(&self, change: &Change<'_>) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let n_known = tx
            .execute(
                "UPDATE replicas SET epoch = epoch + 1, owner = '' WHERE id = $1",
                &values![change.target],
            )
            .await?;
        if n_known == 0 {
            return Err(unknown("server", change.target));
        }
        let leases = tx
            .rows(
                "SELECT purse_id, amount_n FROM leases WHERE replica_id = $1 ORDER BY purse_id",
                &values![change.target],
            )
            .await?;
        for lease in leases {
            tx.execute(
                "UPDATE purses SET leased_n = leased_n - $2 WHERE id = $1",
                &values![lease.text(0)?, lease.int(1)?],
            )
            .await?;
        }
        tx.execute(
            "DELETE FROM leases WHERE replica_id = $1",
            &values![change.target],
        )
        .await?;
        free_slots(&mut tx, change.target).await?;
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn set_cap(
        &self,
        change: &Change<'_>,
        scope: Scope,
        period: Period,
        limit: Option<Nanos>,
    ) -> Result<CapPurses, ManageError> {
        let mut tx = self.begin().await?;
        let target = find_target(&mut tx, scope, change.target).await?;
        match limit {
            Some(limit) => {
                tx.execute(
                    "INSERT INTO caps (scope, target, period, limit_n) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (scope, target, period) DO UPDATE SET limit_n = excluded.limit_n",
                    &values![scope.name(), &target, period.name(), limit.0],
                )
                .await?;
            }
            None => {
                tx.execute(
                    "DELETE FROM caps WHERE scope = $1 AND target = $2 AND period = $3",
                    &values![scope.name(), &target, period.name()],
                )
                .await?;
            }
        }
        let purses = relimit(&mut tx, (scope, &target, period), change.now).await?;
        self.commit(tx, change).await?;
        Ok(purses)
    }

    pub(crate) async fn caps(&self, now: Timestamp) -> Result<Vec<CapInfo>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT caps.scope, caps.target, caps.period, caps.limit_n, teams.name, projects.name, owners.name
                 FROM caps LEFT JOIN teams ON teams.id = caps.target LEFT JOIN projects ON projects.id = caps.target
                 LEFT JOIN teams AS owners ON owners.id = projects.team_id ORDER BY caps.scope, caps.target, caps.period",
                &[],
            )
            .await?;
        let mut caps = Vec::new();
        for row in rows {
            let scope = named(&row.text(0)?, Scope::from_name)?;
            let period = named(&row.text(2)?, Period::from_name)?;
            let id = row.text(1)?;
            let purse = cap_purse(scope, &id, period, now);
            let spent = self
                .db
                .row("SELECT spent_n FROM purses WHERE id = $1", &values![purse])
                .await?;
            let target = match (row.opt_text(4)?, row.opt_text(5)?, row.opt_text(6)?) {
                (Some(team), ..) => team,
                (_, Some(project), Some(team)) => format!("{team}/{project}"),
                _ => id,
            };
            caps.push(CapInfo {
                scope,
                target,
                period,
                limit: Nanos(row.int(3)?),
                spent: Nanos(spent.map_or(Ok(0), |row| row.int(0))?),
            });
        }
        Ok(caps)
    }

    /// The caps that hold for a team, the tier's own among them, and those of its projects.
    pub(crate) async fn team_caps(&self, team: &str, now: Timestamp) -> Result<Vec<CapInfo>, ManageError> {
        let team = self.team(team).await?;
        let sql = "SELECT id, name, tier, disabled_at, allowed_models FROM teams WHERE id = $1";
        let row = self.db.row(sql, &values![&team.id]).await?;
        let row = row.ok_or_else(|| unknown("team", &team.name))?;
        let (team, terms) = team_of(&row)?;
        let caps = self.db.team_caps(&team, terms.tier).await?;
        let mut named: Vec<_> = caps.into_iter().map(|cap| (team.name.clone(), cap)).collect();
        let sql = "SELECT id, name FROM projects WHERE team_id = $1 ORDER BY name";
        for row in self.db.rows(sql, &values![&team.id]).await? {
            let name = format!("{}/{}", team.name, row.text(1)?);
            let caps = self.db.caps(Scope::Project, &row.text(0)?).await?;
            named.extend(caps.into_iter().map(|cap| (name.clone(), cap)));
        }
        let mut infos = Vec::new();
        for (target, cap) in named {
            let purse = cap_purse(cap.scope, &cap.target, cap.period, now);
            let sql = "SELECT spent_n FROM purses WHERE id = $1";
            let spent = self.db.row(sql, &values![purse]).await?;
            infos.push(CapInfo {
                scope: cap.scope,
                target,
                period: cap.period,
                limit: cap.limit,
                spent: Nanos(spent.map_or(Ok(0), |row| row.int(0))?),
            });
        }
        Ok(infos)
    }
}

/// The id of what a cap is for: a team, `team/project`, or a key's id.
async fn find_target(tx: &mut Tx, scope: Scope, name: &str) -> Result<String, ManageError> {
    let row = match scope {
        Scope::Team => return Ok(find_team(tx, name).await?.id),
        Scope::Project => {
            let (team, project) = name.split_once('/').ok_or_else(|| {
                ManageError::Invalid(format!("{name:?} is no project: write it as team/project"))
            })?;
            let team = find_team(tx, team).await?;
            tx.row(
                "SELECT id FROM projects WHERE team_id = $1 AND name = $2",
                &values![&team.id, project],
            )
            .await?
        }
        Scope::Key => {
            tx.row("SELECT id FROM keys WHERE id = $1", &values![name])
                .await?
        }
    };
    let row = row.ok_or_else(|| unknown(scope.name(), name))?;
    Ok(row.text(0)?)
}

/// Gives the purses of a cap, past ones among them, the limit that holds now. Servers give back what they were lent of them
/// under another.
pub(crate) async fn relimit(
    tx: &mut Tx,
    (scope, target, period): (Scope, &str, Period),
    now: Timestamp,
) -> Result<CapPurses, StoreError> {
    let limit = cap_limit(tx, scope, target, period).await?;
    let purses = cap_purses(scope, target, period);
    tx.execute(
        "UPDATE purses SET limit_n = $2, recall_at = $3 WHERE substr(id, 1, length($1)) = $1",
        &values![&purses, limit, now.as_millis() + RECALLED_FOR_MS],
    )
    .await?;
    Ok(CapPurses(purses))
}
