//! What is in flight, in the database: how many slots of each place a server holds.

use super::StoreError;
use super::db::{Tx, values};
use crate::ledger::{Exchange, SlotGrant, SlotWish};

/// Tells that a server is there. The beat goes on where the last one is long enough ago; a clock that was set back does not
/// hold it up.
pub(super) async fn beat(tx: &mut Tx, exchange: &Exchange) -> Result<(), StoreError> {
    let now = tx.now();
    let sql = format!("UPDATE beat SET number = number + 1, at = {now} WHERE at <= {now} - $1 OR at > {now}");
    tx.execute(&sql, &values![exchange.lease.beat_ms as i64]).await?;
    tx.execute(
        "UPDATE replicas SET beat = (SELECT number FROM beat) WHERE id = $1",
        &values![&exchange.replica],
    )
    .await?;
    Ok(())
}

/// Gives a server what it wishes to hold, as far as others leave it.
pub(super) async fn grant_slots(tx: &mut Tx, exchange: &Exchange) -> Result<Vec<SlotGrant>, StoreError> {
    if exchange.slots.is_empty() {
        return Ok(Vec::new());
    }
    let oldest = oldest_beat(tx, exchange).await?;
    let n_alive = tx
        .row("SELECT COUNT(*) FROM replicas WHERE beat >= $1", &values![oldest])
        .await?;
    let n_alive = n_alive.map_or(Ok(1), |row| row.int(0))?.max(1);
    let mut grants = Vec::new();
    for wish in &exchange.slots {
        grants.push(grant(tx, exchange, wish, (oldest, n_alive)).await?);
    }
    Ok(grants)
}

/// Servers whose last word is of before this beat hold nothing any more.
async fn oldest_beat(tx: &mut Tx, exchange: &Exchange) -> Result<i64, StoreError> {
    let row = tx.row("SELECT number FROM beat", &[]).await?;
    let number = row
        .ok_or_else(|| StoreError::decode("the beat's row is gone"))?
        .int(0)?;
    Ok(number - exchange.lease.n_beats as i64)
}

async fn grant(
    tx: &mut Tx,
    exchange: &Exchange,
    wish: &SlotWish,
    (oldest, n_alive): (i64, i64),
) -> Result<SlotGrant, StoreError> {
    lock_place(tx, &wish.place).await?;
    let elsewhere = tx
        .row(
            "SELECT CAST(COALESCE(SUM(slots.n), 0) AS BIGINT)
             FROM slots JOIN replicas ON replicas.id = slots.replica_id
             WHERE slots.place_id = $1 AND slots.replica_id <> $2 AND replicas.beat >= $3",
            &values![&wish.place, &exchange.replica, oldest],
        )
        .await?;
    let elsewhere = elsewhere.map_or(Ok(0), |row| row.int(0))?;
    let available = (wish.limit - elsewhere).max(0);
    let spare = (available - wish.need).max(0) / (2 * n_alive);
    let amount = available.min(wish.need + spare.min(wish.extra)).max(wish.held);
    hold(tx, exchange, &wish.place, amount).await?;
    if amount < wish.need && elsewhere > 0 {
        tx.execute(
            "UPDATE places SET recall_at = $2 WHERE id = $1",
            &values![&wish.place, exchange.now.as_millis()],
        )
        .await?;
    }
    Ok(SlotGrant {
        place: wish.place.clone(),
        amount,
        is_tight: (available - amount) * 4 < wish.limit,
        elsewhere,
    })
}

/// Nobody else gets slots of this place until the transaction is over.
async fn lock_place(tx: &mut Tx, place: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO places (id, recall_at) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING",
        &values![place],
    )
    .await?;
    let sql = format!("SELECT recall_at FROM places WHERE id = $1{}", tx.for_update());
    tx.row(&sql, &values![place]).await?;
    Ok(())
}

async fn hold(tx: &mut Tx, exchange: &Exchange, place: &str, amount: i64) -> Result<(), StoreError> {
    if amount == 0 {
        tx.execute(
            "DELETE FROM slots WHERE place_id = $1 AND replica_id = $2",
            &values![place, &exchange.replica],
        )
        .await?;
        return Ok(());
    }
    tx.execute(
        "INSERT INTO slots (place_id, replica_id, n) VALUES ($1, $2, $3)
         ON CONFLICT (place_id, replica_id) DO UPDATE SET n = excluded.n",
        &values![place, &exchange.replica, amount],
    )
    .await?;
    Ok(())
}

/// A server's slots are free: its process is gone.
pub(super) async fn free_slots(tx: &mut Tx, replica: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM slots WHERE replica_id = $1", &values![replica])
        .await?;
    Ok(())
}
