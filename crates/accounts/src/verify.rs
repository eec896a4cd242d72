//! The proof of the ledger: every amount computed again from the rows alone, every sum added up again, and the chains
//! followed from their first row to their last.

use std::collections::BTreeMap;

use crate::Accounts;
use crate::chain::{CreditEntry, EMPTY, Head, audit_hash, credit_hash, usage_hash};
use crate::clock::Timestamp;
use crate::ledger::{Status, Usage, UsageId};
use crate::limits::credit_purse;
use crate::money::{Nanos, Price, Tokens};
use crate::store::StoreError;
use crate::store::db::{Row, Tx, values};
use crate::store::manage::Books;

/// Rows that are read at once.
const PAGE: i64 = 5_000;
/// Faults that are told; the rest is counted.
const MAX_FAULTS: usize = 100;

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Teams whose chain was followed.
    pub n_teams: u64,
    /// Usage rows whose cost was computed again.
    pub n_usage: u64,
    /// Changes of credit.
    pub n_entries: u64,
    /// Administrative changes.
    pub n_audit: u64,
    /// What requests have cost, over all teams.
    pub cost: Nanos,
    /// Everything that is not as it should be, a sentence each; the first hundred.
    pub faults: Vec<String>,
    /// How many there are.
    pub n_faults: u64,
}

impl Verified {
    fn fault(&mut self, fault: String) {
        self.n_faults += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn check(&mut self, is_so: bool, fault: impl FnOnce() -> String) {
        if !is_so {
            self.fault(fault());
        }
    }
}

/// What the rows of one team come to.
#[derive(Default)]
struct Sums {
    credit: i64,
    cost: i64,
    /// Cost by the purse that counts it.
    purses: BTreeMap<String, i64>,
    /// Requests and cost by day, project, key and model.
    days: BTreeMap<(i64, String, String, String, String), [i64; 5]>,
}

impl Accounts {
    /// Checks the whole ledger. It reads everything: some seconds for a million rows. While a server works on it, what is
    /// in flight shows as no fault, for each team is read in one piece.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        let mut found = Verified::default();
        let books = self.books();
        let prices = books.all_prices().await?;
        let teams = books
            .db
            .rows("SELECT team_id FROM chains ORDER BY team_id", &[])
            .await?;
        for row in teams {
            books.verify_team(&row.text(0)?, &prices, &mut found).await?;
        }
        books.verify_leases(&mut found).await?;
        books.verify_audit(&mut found).await?;
        Ok(found)
    }
}

impl Books {
    async fn all_prices(&self) -> Result<BTreeMap<i64, (String, Price)>, StoreError> {
        let catalogue = self.db.catalogue().await?;
        let versions = catalogue.prices.iter().flat_map(|(model, versions)| {
            versions
                .iter()
                .map(move |(_, price)| (price.version, (model.clone(), *price)))
        });
        Ok(versions.collect())
    }

    async fn verify_team(
        &self,
        team_id: &str,
        prices: &BTreeMap<i64, (String, Price)>,
        found: &mut Verified,
    ) -> Result<(), StoreError> {
        found.n_teams += 1;
        // Read before the rows: what is added meanwhile comes after it, and is left for another time.
        let end = self
            .db
            .row(
                "SELECT seq, head FROM chains WHERE team_id = $1",
                &values![team_id],
            )
            .await?;
        let Some(end) = end else { return Ok(()) };
        let (last, last_head) = (end.int(0)?, end.blob(1)?);
        let mut entries = self.entries(team_id, last).await?.into_iter().peekable();
        let (mut seq, mut head, mut sums) = (0, EMPTY, Sums::default());
        loop {
            let rows = self.usage_page(team_id, seq, last).await?;
            let n_rows = rows.len();
            for row in rows {
                let (at, replica, usage, hash) = usage_of(&row)?;
                while entries.peek().is_some_and(|(entry_at, ..)| *entry_at < at) {
                    let Some(entry) = entries.next() else { break };
                    self.verify_entry(team_id, (&mut seq, &mut head), &entry, &mut sums, found);
                }
                found.n_usage += 1;
                found.check(at == seq + 1, || {
                    format!("{team_id}: row {} of the chain is missing", seq + 1)
                });
                seq = at;
                head = usage_hash(&self.secret, &head, at, &replica, &usage);
                found.check(hash == head, || {
                    format!("{team_id}: usage {} (row {at}) is not what was written", usage.id)
                });
                check_usage(&usage, prices, &mut sums, found);
            }
            if (n_rows as i64) < PAGE {
                break;
            }
        }
        for entry in entries {
            self.verify_entry(team_id, (&mut seq, &mut head), &entry, &mut sums, found);
        }
        found.check(seq == last && head[..] == last_head[..], || {
            format!("{team_id}: the chain ends at row {seq}, and should at row {last}")
        });
        found.cost = found.cost + Nanos(sums.cost);
        self.verify_sums(team_id, last, &sums, found).await
    }

    fn verify_entry(
        &self,
        team_id: &str,
        (seq, head): (&mut i64, &mut Head),
        (at, entry, hash): &(i64, CreditEntry, Vec<u8>),
        sums: &mut Sums,
        found: &mut Verified,
    ) {
        found.n_entries += 1;
        found.check(*at == *seq + 1, || {
            format!("{team_id}: row {} of the chain is missing", *seq + 1)
        });
        *seq = *at;
        *head = credit_hash(&self.secret, head, team_id, *at, entry);
        found.check(hash[..] == head[..], || {
            format!(
                "{team_id}: the {} {:?} (row {at}) is not what was written",
                entry.kind, entry.reference
            )
        });
        sums.credit += entry.amount_n;
    }

    async fn entries(
        &self,
        team_id: &str,
        last: i64,
    ) -> Result<Vec<(i64, CreditEntry, Vec<u8>)>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT seq, kind, amount_n, ref, note, actor, expires_at, at, hash FROM entries
                 WHERE team_id = $1 AND seq <= $2 ORDER BY seq",
                &values![team_id, last],
            )
            .await?;
        let entry = |row: &Row| {
            let entry = CreditEntry {
                kind: row.text(1)?,
                amount_n: row.int(2)?,
                reference: row.text(3)?,
                note: row.text(4)?,
                actor: row.text(5)?,
                expires_at: row.opt_int(6)?,
                at: row.int(7)?,
            };
            Ok((row.int(0)?, entry, row.blob(8)?))
        };
        rows.iter().map(entry).collect()
    }

    /// Requests of a team in the order of its chain, from after `after` to `last`, a page of them.
    pub(crate) async fn usage_page(
        &self,
        team_id: &str,
        after: i64,
        last: i64,
    ) -> Result<Vec<Row>, StoreError> {
        self.db
            .rows(
                "SELECT seq, replica_id, id, team_id, project_id, key_id, model, price_version, input_n, cached_n,
                        output_n, n_prompt, n_cached, n_completion, hold_n, cost_n, status, admitted_at, ended_at, hash,
                        adapter
                 FROM usage WHERE team_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4",
                &values![team_id, after, last, PAGE],
            )
            .await
    }

    /// The sums that are kept, against those of the rows; left alone where rows were added meanwhile.
    async fn verify_sums(
        &self,
        team_id: &str,
        last: i64,
        sums: &Sums,
        found: &mut Verified,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let now = tx
            .row("SELECT seq FROM chains WHERE team_id = $1", &values![team_id])
            .await?;
        if now.map_or(Ok(0), |row| row.int(0))? != last {
            return Ok(());
        }
        let credit = credit_purse(team_id);
        for (purse, cost) in &sums.purses {
            let sql = "SELECT limit_n, spent_n, leased_n FROM purses WHERE id = $1";
            let Some(row) = tx.row(sql, &values![purse]).await? else {
                continue;
            };
            let (limit, spent) = (row.int(0)?, row.int(1)?);
            // A key's cap counts what it spends in every team.
            let is_whole = !purse.starts_with("cap/key/");
            found.check(!is_whole || spent == *cost, || {
                format!(
                    "{purse}: {} USD are said to be spent, and the rows come to {}",
                    Nanos(spent),
                    Nanos(*cost)
                )
            });
            found.check(*purse != credit || limit == sums.credit, || {
                format!(
                    "{purse}: the credit is {} USD, and the rows come to {}",
                    Nanos(limit),
                    Nanos(sums.credit)
                )
            });
            found.check(
                *purse != credit || limit - spent - row.int(2).unwrap_or(0) >= 0,
                || format!("{purse}: more is spent and held than there is"),
            );
        }
        verify_days(&mut tx, team_id, sums, found).await
    }

    async fn verify_leases(&self, found: &mut Verified) -> Result<(), StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT id, leased_n, (SELECT CAST(COALESCE(SUM(amount_n), 0) AS BIGINT) FROM leases
                                       WHERE purse_id = purses.id) FROM purses",
                &[],
            )
            .await?;
        for row in rows {
            let (leased, sum) = (row.int(1)?, row.int(2)?);
            let purse = row.text(0)?;
            found.check(leased == sum, || {
                format!(
                    "{purse}: {} USD are said to be lent, and the leases come to {}",
                    Nanos(leased),
                    Nanos(sum)
                )
            });
        }
        Ok(())
    }

    async fn verify_audit(&self, found: &mut Verified) -> Result<(), StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT seq, at, actor, action, target, detail, hash FROM audit ORDER BY seq",
                &[],
            )
            .await?;
        let (mut seq, mut head) = (0, EMPTY);
        for row in rows {
            let at = row.int(0)?;
            found.n_audit += 1;
            found.check(at == seq + 1, || format!("audit: row {} is missing", seq + 1));
            seq = at;
            let texts = [row.text(2)?, row.text(3)?, row.text(4)?, row.text(5)?];
            let texts = [0, 1, 2, 3].map(|idx: usize| texts[idx].as_str());
            head = audit_hash(
                &self.secret,
                &head,
                at,
                Timestamp::from_millis(row.int(1)?),
                texts,
            );
            found.check(row.blob(6)?[..] == head[..], || {
                format!("audit: row {at} is not what was written")
            });
        }
        Ok(())
    }
}

/// The daily sums, against those of the rows.
async fn verify_days(
    tx: &mut Tx,
    team_id: &str,
    sums: &Sums,
    found: &mut Verified,
) -> Result<(), StoreError> {
    let rows = tx
        .rows(
            "SELECT day, project_id, key_id, model, adapter, n_requests, n_prompt, n_cached, n_completion, cost_n
             FROM usage_daily WHERE team_id = $1",
            &values![team_id],
        )
        .await?;
    found.check(rows.len() == sums.days.len(), || {
        format!("{team_id}: the daily sums are not those of the rows")
    });
    for row in rows {
        let name = (
            row.int(0)?,
            row.text(1)?,
            row.text(2)?,
            row.text(3)?,
            row.text(4)?,
        );
        let said = [row.int(5)?, row.int(6)?, row.int(7)?, row.int(8)?, row.int(9)?];
        found.check(sums.days.get(&name) == Some(&said), || {
            let day = Timestamp::of_day(name.0).date();
            format!(
                "{team_id}: the sum of {day} for key {} and {:?} is not that of the rows",
                name.2, name.3
            )
        });
    }
    Ok(())
}

/// A row as [`Books::usage_page`] asks for it: its place, the server that told of it, what was used, and its hash.
pub(crate) fn usage_of(row: &Row) -> Result<(i64, String, Usage, Vec<u8>), StoreError> {
    let id = row.text(2)?;
    let status = row.text(16)?;
    let status =
        Status::from_name(&status).ok_or_else(|| StoreError::decode(format!("{status:?} is no status")))?;
    let usage = Usage {
        id: UsageId::parse(&id).ok_or_else(|| StoreError::decode(format!("{id:?} is no usage id")))?,
        team_id: row.text(3)?,
        project_id: row.text(4)?,
        key_id: row.text(5)?,
        model: row.text(6)?,
        adapter: row.opt_text(20)?,
        price: Price {
            version: row.int(7)?,
            input: Nanos(row.int(8)?),
            cached_input: Nanos(row.int(9)?),
            output: Nanos(row.int(10)?),
        },
        hold: Nanos(row.int(14)?),
        purses: Vec::new(),
        tokens: Tokens {
            n_prompt: row.int(11)?.unsigned_abs(),
            n_cached: row.opt_int(12)?.map(i64::unsigned_abs),
            n_completion: row.int(13)?.unsigned_abs(),
        },
        status,
        cost: Nanos(row.int(15)?),
        admitted_at: Timestamp::from_millis(row.int(17)?),
        ended_at: Timestamp::from_millis(row.int(18)?),
    };
    Ok((row.int(0)?, row.text(1)?, usage, row.blob(19)?))
}

fn check_usage(
    usage: &Usage,
    prices: &BTreeMap<i64, (String, Price)>,
    sums: &mut Sums,
    found: &mut Verified,
) {
    let expected = match usage.status {
        Status::Failed => Nanos::ZERO,
        _ => usage.price.cost(usage.tokens),
    };
    found.check(usage.cost == expected, || {
        format!(
            "usage {}: {} USD were charged, and its tokens cost {expected}",
            usage.id, usage.cost
        )
    });
    found.check(
        usage.cost <= usage.hold || usage.status == Status::Overrun,
        || {
            format!(
                "usage {}: {} USD were charged, and {} held",
                usage.id, usage.cost, usage.hold
            )
        },
    );
    let is_priced = match prices.get(&usage.price.version) {
        Some((model, price)) => *model == usage.model && *price == usage.price,
        None => usage.price == Price::default(),
    };
    found.check(is_priced, || {
        format!(
            "usage {}: its prices are not those of version {}",
            usage.id, usage.price.version
        )
    });
    sums.cost += usage.cost.0;
    for purse in usage.counted_by() {
        *sums.purses.entry(purse).or_default() += usage.cost.0;
    }
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let name = (
        usage.admitted_at.day(),
        usage.project_id.clone(),
        usage.key_id.clone(),
        usage.model.clone(),
        usage.adapter.clone().unwrap_or_default(),
    );
    let more = [
        1,
        count(usage.tokens.n_prompt),
        count(usage.tokens.n_cached.unwrap_or(0)),
        count(usage.tokens.n_completion),
        usage.cost.0,
    ];
    for (sum, more) in sums.days.entry(name).or_default().iter_mut().zip(more) {
        *sum += more;
    }
}
