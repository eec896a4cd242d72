//! The database goes away, slows down, deadlocks, and fails over in mid-commit, while requests go on.
//!
//! `TOKENMILL_OUTAGE_S=120` makes the outages as long as a failover by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Connection;
use tokenmill_accounts::{HoldError, Nanos, Tokens};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::database::Postgres;
use crate::fleet::{Fleet, add_credit, fleet};
use crate::proxy::{Proxy, Way};

const N_PROMPT: u64 = 10;
const N_COMPLETION: u64 = 13;
const N_CLIENTS: usize = 8;

/// What clients have met.
#[derive(Default)]
struct Met {
    n_done: AtomicU64,
    n_refused: AtomicU64,
    n_out_of_money: AtomicU64,
    is_over: AtomicBool,
    /// The longest that a request waited to be admitted, of those that were.
    longest_ms: AtomicU64,
}

/// Servers behind a proxy, and clients that ask them until they are told to stop.
struct Site {
    postgres: Postgres,
    proxy: Proxy,
    fleet: Fleet,
    met: Arc<Met>,
    clients: Vec<JoinHandle<()>>,
}

impl Site {
    async fn start() -> Option<Site> {
        let postgres = Postgres::start()?;
        let proxy = Proxy::start(postgres.folder.path()).await;
        let fleet = fleet(2, &proxy.url()).await;
        add_credit(&fleet.servers[0].0, 1_000_000_000_000, "enough").await;
        let met = Arc::new(Met::default());
        let clients = (0..N_CLIENTS)
            .map(|idx| client(&fleet, idx, met.clone()))
            .collect();
        let site = Site {
            postgres,
            proxy,
            fleet,
            met,
            clients,
        };
        site.until_done(N_CLIENTS as u64 * 20).await;
        Some(site)
    }

    /// Waits until so many more requests are done.
    async fn until_done(&self, n: u64) {
        let enough = self.met.n_done.load(Ordering::SeqCst) + n;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.met.n_done.load(Ordering::SeqCst) < enough {
            assert!(Instant::now() < deadline, "requests do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn n_done(&self) -> u64 {
        self.met.n_done.load(Ordering::SeqCst)
    }

    /// Ends all clients and checks that every request that was answered is in the database once, at its price.
    async fn check(self) -> Postgres {
        self.met.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.expect("no panic");
        }
        for (_, ledger) in &self.fleet.servers {
            assert_eq!(ledger.n_open(), 0, "no hold is left");
            ledger.flush().await;
        }
        let accounts = &self.fleet.servers[0].0;
        let (balance, _) = accounts.credit("default", 1).await.expect("the database is back");
        let tokens = Tokens {
            n_prompt: N_PROMPT,
            n_cached: None,
            n_completion: N_COMPLETION,
        };
        let each = self.fleet.price.cost(tokens).0;
        let n_done = self.met.n_done.load(Ordering::SeqCst);
        assert_eq!(balance.spent, Nanos(each * n_done as i64), "{n_done} answers");
        assert_eq!(
            self.met.n_out_of_money.load(Ordering::SeqCst),
            0,
            "there was enough all the time"
        );
        let found = accounts.verify().await.expect("the database is back");
        assert_eq!(found.faults, Vec::<String>::new());
        for (_, ledger) in &self.fleet.servers {
            ledger.close().await;
        }
        let (balance, _) = accounts.credit("default", 1).await.expect("the database is back");
        assert_eq!(balance.lent, Nanos(0), "all leases came back");
        self.postgres
    }
}

fn client(fleet: &Fleet, idx: usize, met: Arc<Met>) -> JoinHandle<()> {
    let (accounts, ledger) = fleet.servers[idx % fleet.servers.len()].clone();
    let (caller, price) = (fleet.caller.clone(), fleet.price);
    tokio::spawn(async move {
        while !met.is_over.load(Ordering::SeqCst) {
            let mut usage = accounts.usage(&caller, "m", None, price);
            usage.tokens.n_prompt = N_PROMPT;
            usage.hold = price.worst_case(N_PROMPT, 20);
            let begun = Instant::now();
            let hold = match ledger.hold(usage).await {
                Ok(hold) => hold,
                Err(HoldError::Insufficient { .. }) => {
                    met.n_out_of_money.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                Err(HoldError::Unavailable(_)) => {
                    met.n_refused.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            met.longest_ms
                .fetch_max(begun.elapsed().as_millis() as u64, Ordering::SeqCst);
            hold.generated(N_COMPLETION);
            // About as fast as a small model answers.
            tokio::time::sleep(Duration::from_millis(10)).await;
            let tokens = Tokens {
                n_prompt: N_PROMPT,
                n_cached: None,
                n_completion: N_COMPLETION,
            };
            hold.settle(tokens).await.expect("the log is on this disk");
            met.n_done.fetch_add(1, Ordering::SeqCst);
        }
    })
}

fn outage() -> Duration {
    let seconds = std::env::var("TOKENMILL_OUTAGE_S")
        .ok()
        .and_then(|n| n.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_within_what_was_lent_while_the_database_is_gone() {
    let Some(site) = Site::start().await else { return };
    // Long enough that servers know what they spend in a while.
    site.until_done(1_000).await;
    for way in [Way::Cut, Way::Silent] {
        let before = site.n_done();
        site.proxy.set(way);
        tokio::time::sleep(outage()).await;
        let n_meanwhile = site.n_done() - before;
        let n_refused = site.met.n_refused.load(Ordering::SeqCst);
        eprintln!(
            "{way:?} for {:?}: {n_meanwhile} answers meanwhile, {n_refused} refused",
            outage()
        );
        assert!(n_meanwhile > 100, "{way:?}: work goes on within leases");
        site.proxy.set(Way::Open);
        site.until_done(200).await;
    }
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_not_felt_by_those_who_have_a_lease() {
    let Some(site) = Site::start().await else { return };
    site.until_done(1_000).await;
    site.met.longest_ms.store(0, Ordering::SeqCst);
    site.proxy.set(Way::Slow(Duration::from_millis(100)));
    let before = site.n_done();
    tokio::time::sleep(outage()).await;
    let n_meanwhile = site.n_done() - before;
    let longest_ms = site.met.longest_ms.load(Ordering::SeqCst);
    eprintln!("slow: {n_meanwhile} answers meanwhile, the longest wait for a hold {longest_ms} ms");
    assert!(n_meanwhile > 100, "{n_meanwhile}");
    site.proxy.set(Way::Open);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_outcome_nobody_hears_of_counts_once() {
    let Some(site) = Site::start().await else { return };
    for round in 0..10 {
        for way in [Way::CutBeforeCommit, Way::CutAfterCommit] {
            site.proxy.set(way);
            let waited = tokio::time::timeout(Duration::from_secs(30), site.proxy.until_open()).await;
            waited.unwrap_or_else(|_| panic!("round {round}: {way:?} met no commit"));
            site.until_done(20).await;
        }
    }
    assert_eq!(site.proxy.n_commits_lost(), 20);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_lose_nothing() {
    let Some(site) = Site::start().await else { return };
    let is_over = Arc::new(AtomicBool::new(false));
    let (url, over) = (site.postgres.url(), is_over.clone());
    // Takes the same rows as the servers do, in the other order.
    let rival = tokio::spawn(async move {
        let mut database = sqlx::PgConnection::connect(&url).await.expect("a connection");
        while !over.load(Ordering::SeqCst) {
            let mut tx = database.begin().await.expect("a transaction");
            for sql in [
                "SELECT id FROM purses ORDER BY id DESC FOR UPDATE",
                "SELECT pg_sleep(0.02)",
                "SELECT team_id FROM chains FOR UPDATE",
            ] {
                // It may be the one that is undone.
                if sqlx::query(sql).execute(&mut *tx).await.is_err() {
                    break;
                }
            }
            let _ = tx.rollback().await;
        }
        let n_deadlocks: i64 =
            sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'")
                .fetch_one(&mut database)
                .await
                .expect("statistics");
        n_deadlocks
    });
    tokio::time::sleep(outage()).await;
    is_over.store(true, Ordering::SeqCst);
    let n_deadlocks = rival.await.expect("no panic");
    eprintln!("{n_deadlocks} deadlocks");
    site.check().await;
}
