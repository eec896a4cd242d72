//! What may be in flight is counted over all servers of a database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokenmill_accounts::{Ledger, SlotError, SlotLease, Slots};

use crate::database::Postgres;
use crate::fleet::{fleet, fleet_with};

/// Tries until there are slots: they come back when they have lain idle, or when a dead server's time is over.
async fn take(ledger: &Ledger, n: u32, limit: u32) -> Slots {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match ledger.slots("p", "m", n, limit).await {
            Ok(slots) => return slots,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_together_have_no_more_in_flight_than_one_may() {
    const LIMIT: u32 = 10;
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(4, &postgres.url()).await;
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients = (0..48).map(|client| {
        let ledger = fleet.servers[client % 4].1.clone();
        let (now, most) = (now.clone(), most.clone());
        tokio::spawn(async move {
            let mut n_flown = 0;
            for round in 0..40 {
                let n = 1 + (client + round) as u32 % 3;
                let slots = match ledger.slots("p", "m", n, LIMIT).await {
                    Ok(slots) => slots,
                    // On a busy machine the first word of the database may take longer than a request waits.
                    Err(SlotError::Full { .. } | SlotError::Unavailable) => continue,
                };
                let up = now.fetch_add(n, Ordering::SeqCst) + n;
                assert!(up <= LIMIT, "{up} in flight");
                most.fetch_max(up, Ordering::SeqCst);
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(n, Ordering::SeqCst);
                drop(slots);
                n_flown += 1;
            }
            (client % 4, n_flown)
        })
    });
    let mut n_flown = 0;
    let mut by = BTreeSet::new();
    for client in clients.collect::<Vec<_>>() {
        let (server, n) = client.await.expect("it works on a good machine");
        n_flown += n;
        by.extend((n > 0).then_some(server));
    }
    eprintln!(
        "{n_flown} of {} flew, at most {most:?} of {LIMIT} together",
        48 * 40
    );
    assert_eq!(by.len(), 4, "each server had some");
    // All of it is of use, and what lies idle comes back: each server in turn can have the whole.
    for (_, ledger) in &fleet.servers {
        drop(take(ledger, LIMIT, LIMIT).await);
    }
    for (_, ledger) in &fleet.servers {
        ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_servers_slots_come_back_when_its_time_is_over() {
    let Some(postgres) = Postgres::start() else { return };
    let lease = SlotLease {
        beat_ms: 100,
        n_beats: 10,
    };
    let mut fleet = fleet_with(2, &postgres.url(), lease).await;
    let flying = take(&fleet.servers[0].1, 3, 3).await;
    let killed_at = Instant::now();
    fleet.kill(0);
    let (_, left) = &fleet.servers[0];
    let refused = left
        .slots("p", "m", 1, 3)
        .await
        .expect_err("the other has all of them");
    assert_eq!(refused, SlotError::Full { n_left: 0 });
    drop(take(left, 3, 3).await);
    let took = killed_at.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?} after its last word");
    eprintln!("{took:?} after the kill");
    drop(flying);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_gives_back_what_it_had_at_once() {
    let Some(postgres) = Postgres::start() else { return };
    let mut fleet = fleet(2, &postgres.url()).await;
    let flying = take(&fleet.servers[0].1, 3, 3).await;
    fleet.kill(0);
    let again = fleet.start_again(0).await;
    // Far sooner than the three minutes after which they would come back by themselves.
    drop(take(&fleet.servers[0].1, 3, 3).await);
    drop((flying, again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_gets_what_another_server_gives_back() {
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(2, &postgres.url()).await;
    for round in 0..6 {
        let here = &fleet.servers[round % 2].1;
        let slots = here.slots("p", "m", 1, 1).await;
        let slots = slots.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(slots.n_left(), Some(0));
    }
}
