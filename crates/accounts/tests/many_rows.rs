//! Many requests in the ledger: a restart and a month's report do not take longer for them.
//!
//! `TOKENMILL_ROWS=1000000 cargo test --release -p tokenmill-accounts --test many_rows -- --nocapture` makes a million;
//! without it there are 4,000. `TOKENMILL_ROWS_DIR=FOLDER` keeps them there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokenmill_accounts::{
    Accounts, Caller, Clock, CreditKind, CreditRequest, GroupBy, KeyRequest, Ledger, Nanos, Price, Tier,
    Timestamp, Tokens, UsageQuery,
};

const FIRST_DAY: &str = "2026-10-01";
const DAYS: i64 = 31;
const DAY_MS: i64 = 86_400_000;
const N_PROJECTS: usize = 10;
const N_KEYS: usize = 5;
const MODELS: [&str; 4] = ["acme/small", "acme/large", "acme/vision", "acme/code"];
const AT_ONCE: usize = 256;

/// A clock that is told the time.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn first_day() -> i64 {
    Timestamp::parse_day(FIRST_DAY).expect("a day").as_millis()
}

async fn open(folder: &Path, clock: &TestClock) -> Accounts {
    let opened = Accounts::open_with(folder, None, Arc::new(clock.clone())).await;
    opened.expect("the folder is good")
}

/// Everybody who asks: each key for each project.
async fn callers(accounts: &Accounts) -> Vec<Arc<Caller>> {
    let first = accounts.ensure_first().await.expect("a first start");
    let change = tokenmill_accounts::TeamChange {
        tier: Some(Tier::Unlimited),
        ..Default::default()
    };
    accounts
        .change_team("test", &first.team, &change)
        .await
        .expect("changed");
    let credit = CreditRequest {
        kind: CreditKind::Purchase,
        amount: Nanos::dollars(1_000_000),
        reference: "rows".into(),
        note: String::new(),
        expires_at: None,
    };
    accounts
        .add_credit("test", &first.team, &credit)
        .await
        .expect("added");
    let mut callers = Vec::new();
    for project in 0..N_PROJECTS {
        let name = format!("project-{project}");
        accounts
            .create_project("test", &first.team, &name)
            .await
            .expect("made");
    }
    for key in 0..N_KEYS {
        let request = KeyRequest {
            name: format!("key {key}"),
            ..KeyRequest::default()
        };
        let key = accounts.create_key("test", &request).await.expect("made");
        for project in 0..N_PROJECTS {
            let path = format!("{}/project-{project}", first.team);
            let caller = accounts.authenticate(key.secret.expose(), Some(&path)).await;
            callers.push(caller.expect("a member"));
        }
    }
    callers
}

async fn ask(accounts: &Accounts, ledger: &Ledger, caller: &Caller, price: Price, model: &str) {
    let mut usage = accounts.usage(caller, model, None, price);
    usage.tokens.n_prompt = 200;
    usage.hold = price.worst_case(200, 400);
    let hold = ledger.hold(usage).await.expect("there is enough");
    let tokens = Tokens {
        n_prompt: 200,
        n_cached: Some(64),
        n_completion: 150,
    };
    hold.settle(tokens).await.expect("the disk is good");
}

/// Fills the ledger with `n` requests over a month, as a server does.
async fn fill(accounts: &Accounts, clock: &TestClock, n: usize) {
    let callers = Arc::new(callers(accounts).await);
    for model in MODELS {
        let price = Price {
            version: 0,
            input: Nanos(150_000_000),
            cached_input: Nanos(15_000_000),
            output: Nanos(600_000_000),
        };
        accounts
            .set_price("test", model, price, None)
            .await
            .expect("a good price");
    }
    let catalogue = accounts.catalogue().await.expect("readable");
    let ledger = accounts.start_ledger().await.expect("nobody else is here");
    let next = Arc::new(AtomicI64::new(0));
    let tasks = (0..AT_ONCE).map(|_| {
        let (accounts, ledger, next) = (accounts.clone(), ledger.clone(), next.clone());
        let (callers, clock, catalogue) = (callers.clone(), clock.clone(), catalogue.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= n as i64 {
                    return;
                }
                clock
                    .0
                    .fetch_max(first_day() + number * DAYS * DAY_MS / n as i64, Ordering::SeqCst);
                let model = MODELS[number as usize % MODELS.len()];
                let caller = &callers[(number as usize / MODELS.len()) % callers.len()];
                let price = catalogue.price(model, accounts.now());
                ask(&accounts, &ledger, caller, price, model).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    ledger.flush().await;
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_and_a_report_do_not_wait_for_old_rows() {
    let variable = |name: &str| std::env::var(name).ok();
    let n: usize = variable("TOKENMILL_ROWS")
        .and_then(|n| n.parse().ok())
        .unwrap_or(4_000);
    let temporary = tempfile::tempdir().expect("a folder");
    let kept = variable("TOKENMILL_ROWS_DIR");
    let folder = kept.as_deref().map_or(temporary.path(), Path::new);
    let clock = TestClock(Arc::new(AtomicI64::new(first_day())));
    let begun = Instant::now();
    let accounts = open(folder, &clock).await;
    fill(&accounts, &clock, n).await;
    accounts.close().await;
    eprintln!("{n} requests in {:?}", begun.elapsed());

    let begun = Instant::now();
    let accounts = open(folder, &clock).await;
    let ledger = accounts.start_ledger().await.expect("nobody else is here");
    accounts.ensure_first().await.expect("readable");
    let ready = begun.elapsed();
    let mut slowest = Duration::ZERO;
    for by in [
        vec![],
        vec![GroupBy::Day],
        vec![GroupBy::Model, GroupBy::Project],
        vec![GroupBy::Day, GroupBy::Model, GroupBy::Project, GroupBy::Key],
    ] {
        let begun = Instant::now();
        let query = UsageQuery {
            team: "default".into(),
            from: Timestamp::from_millis(first_day()),
            until: Timestamp::from_millis(first_day() + DAYS * DAY_MS),
            by,
        };
        let rows = accounts.report(&query).await.expect("readable");
        slowest = slowest.max(begun.elapsed());
        assert_eq!(rows.iter().map(|row| row.n_requests).sum::<u64>(), n as u64);
    }
    let begun = Instant::now();
    let found = accounts.verify().await.expect("readable");
    assert_eq!((found.faults, found.n_usage), (Vec::new(), n as u64));
    eprintln!(
        "{n} requests: ready after {ready:?}, the slowest report of a month {slowest:?}, verified in {:?}",
        begun.elapsed()
    );
    assert!(ready < Duration::from_secs(1), "{ready:?}");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    ledger.close().await;
}
