//! Four servers and many clients race for the last of a team's credit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokenmill_accounts::{Accounts, Nanos, Period, Scope};

use crate::database::Postgres;
use crate::fleet::{add_credit, ask, fleet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_that_is_lowered_elsewhere_holds_within_a_word_to_the_database() {
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(2, &postgres.url()).await;
    let shared = (fleet.caller.clone(), fleet.price);
    let (accounts, _) = &fleet.servers[0];
    add_credit(accounts, 1_000_000_000, "enough").await;
    let set = async |limit| {
        let cap = (Scope::Team, "default");
        accounts.set_cap("test", cap, Period::Month, Some(limit)).await
    };
    set(Nanos(1_000_000_000)).await.expect("a good cap");
    for (accounts, ledger) in &fleet.servers {
        assert!(ask(accounts, ledger, &shared).await);
        ledger.flush().await;
    }
    let caps = accounts.caps().await.expect("readable");
    set(caps[0].spent).await.expect("a good cap");
    let (accounts, ledger) = &fleet.servers[1];
    let deadline = Instant::now() + Duration::from_secs(15);
    while ask(accounts, ledger, &shared).await {
        assert!(
            Instant::now() < deadline,
            "it still spends what it was lent under the old cap"
        );
    }
}

/// Nothing was overspent; what is left.
async fn check_round(accounts: &Accounts, round: usize) -> i64 {
    let (balance, _) = accounts.credit("default", 1).await.expect("readable");
    assert!(balance.spent <= balance.credit, "round {round}: {balance:?}");
    // It reads every row that there is, so not after each of many rounds.
    if round < 3 || round % 100 == 99 {
        let found = accounts.verify().await.expect("readable");
        assert_eq!(found.faults, Vec::<String>::new(), "round {round}");
    }
    balance.left().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_spend_what_there_is_and_not_a_nano_dollar_more() {
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(4, &postgres.url()).await;
    let n_rounds: usize = std::env::var("TOKENMILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3);
    // 0.01 USD, of which one request holds a half percent.
    let credit = 10_000_000;
    let hold = fleet.price.worst_case(10, 20).0;
    let shared = Arc::new((fleet.caller.clone(), fleet.price));
    let mut least_used = credit;
    for round in 0..n_rounds {
        let (first, _) = &fleet.servers[0];
        let (before, _) = first
            .credit("default", 1)
            .await
            .expect("it works on a good machine");
        add_credit(first, credit - before.left().0, &format!("round {round}")).await;
        let n_asked = Arc::new(AtomicI64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..64).map(|client| {
            let (accounts, ledger) = fleet.servers[client % 4].clone();
            let (shared, n_asked, is_over) = (shared.clone(), n_asked.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    if ask(&accounts, &ledger, &shared).await {
                        n_asked.fetch_add(1, Ordering::SeqCst);
                    } else {
                        is_over.store(true, Ordering::SeqCst);
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("it works on a good machine");
        }
        for (accounts, ledger) in &fleet.servers {
            // What came back from those who ended last is usable, too.
            while ask(accounts, ledger, &shared).await {}
            ledger.flush().await;
        }
        let left = check_round(first, round).await;
        assert!(
            left <= credit / 100,
            "round {round}: {left} is left, a request holds {hold}"
        );
        least_used = least_used.min(credit - left);
    }
    for (_, ledger) in &fleet.servers {
        ledger.close().await;
    }
    let (balance, _) = fleet.servers[0]
        .0
        .credit("default", 1)
        .await
        .expect("it works on a good machine");
    assert_eq!(balance.lent, Nanos(0), "all leases came back");
    eprintln!("{n_rounds} rounds; in each at least {least_used} of {credit} nano-dollars used");
    eprintln!("spent {} of {}", balance.spent, balance.credit);
}
