//! Credit, caps and prices. Amounts are texts of dollars, so that no reader takes them for inexact numbers.

use axum::extract::Path;
use axum::routing::{get, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenmill_accounts::{CreditKind, CreditRequest, KeyScope, Period, Price, Scope, Timestamp};

use super::{Answer, DONE, List, Managing, Operation, Parts, day, dollars, done, failed, list, ok, refused};
use crate::error::ApiError;
use crate::openapi::{Reply, schema};

pub(super) const CREDIT: &[Operation] = &[
    Operation::new(
        "GET",
        "A team's balance",
        &[Reply::json(schema::<ShownCredit>)],
        || get(credit),
    ),
    Operation::new("POST", "Add, grant or refund credit", DONE, || {
        post(change_credit)
    })
    .with(schema::<NewCredit>),
];

pub(super) const CAPS: &[Operation] = &[
    Operation::new(
        "GET",
        "List the spending caps",
        &[Reply::json(schema::<List<ShownCap>>)],
        || get(caps),
    ),
    Operation::new("PUT", "Set a spending cap, or take it away", DONE, || {
        put(set_cap)
    })
    .with(schema::<NewCap>),
];

pub(super) const PRICES: &[Operation] = &[
    Operation::new(
        "GET",
        "List the prices",
        &[Reply::json(schema::<List<ShownPrice>>)],
        || get(prices),
    ),
    Operation::new(
        "POST",
        "Add a version of a price",
        &[Reply::json(schema::<MadePrice>)],
        || post(set_price),
    )
    .with(schema::<NewPrice>),
];

/// A team's balance, in texts of dollars.
#[derive(Serialize, JsonSchema)]
struct ShownCredit {
    credit_usd: String,
    spent_usd: String,
    left_usd: String,
    /// Lent to servers for what is running.
    held_usd: String,
    /// The latest first.
    entries: Vec<ShownEntry>,
}

/// A change of credit.
#[derive(Serialize, JsonSchema)]
struct ShownEntry {
    /// Seconds since 1970.
    at: i64,
    /// `purchase`, `grant`, `refund`, `expire` or `adjust`.
    kind: String,
    /// Negative where it went out.
    amount_usd: String,
    reference: String,
    note: String,
    /// What is not used by then is taken back.
    expires_at: Option<i64>,
}

/// A cap, and how far it is used in its current window.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShownCap {
    scope: Scope,
    /// The team, `team/project`, or the key's id.
    target: String,
    period: Period,
    limit_usd: String,
    spent_usd: String,
}

/// A model's price for a million tokens.
#[derive(Serialize, JsonSchema)]
struct ShownPrice {
    model: String,
    version: i64,
    input_usd: String,
    cached_input_usd: String,
    output_usd: String,
    /// Seconds since 1970.
    valid_from: i64,
}

/// A version of a price that was added.
#[derive(Serialize, JsonSchema)]
struct MadePrice {
    version: i64,
}

/// Changes of credit that are told.
const MAX_ENTRIES: u32 = 1_000;

pub(super) async fn credit(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::ReadUsage).await?;
    let credit = managing.app.accounts.credit(&team, MAX_ENTRIES).await;
    let (balance, entries) = credit.map_err(refused)?;
    let entry = |entry: &tokenmill_accounts::CreditInfo| ShownEntry {
        at: entry.at.as_secs(),
        kind: entry.kind.clone(),
        amount_usd: entry.amount.to_string(),
        reference: entry.reference.clone(),
        note: entry.note.clone(),
        expires_at: entry.expires_at.map(Timestamp::as_secs),
    };
    ok(ShownCredit {
        credit_usd: balance.credit.to_string(),
        spent_usd: balance.spent.to_string(),
        left_usd: balance.left().to_string(),
        held_usd: balance.lent.to_string(),
        entries: entries.iter().map(entry).collect(),
    })
}

/// How credit comes in or goes out.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[schemars(rename = "CreditKind")]
#[serde(rename_all = "lowercase")]
enum Kind {
    Purchase,
    Grant,
    Refund,
}

/// A change of credit.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredit {
    kind: Kind,
    amount_usd: String,
    /// The same one again changes nothing.
    reference: String,
    #[serde(default)]
    note: String,
    expires_on: Option<String>,
}

pub(super) async fn change_credit(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, body) = managing.body::<NewCredit>().await?;
    let amount = dollars("amount_usd", &body.amount_usd)?;
    let expires_on = body.expires_on.as_deref().map(|text| day("expires_on", text));
    let kind = match body.kind {
        Kind::Refund if expires_on.is_some() => {
            let message = "'expires_on' is for purchases and grants; a refund happens now";
            return Err(ApiError::parameter("invalid_value", "expires_on", message));
        }
        Kind::Refund => {
            let refunded = app
                .accounts
                .refund_credit(&actor, &team, amount, &body.reference, &body.note);
            refunded.await.map_err(refused)?;
            return done();
        }
        Kind::Purchase => CreditKind::Purchase,
        Kind::Grant => CreditKind::Grant,
    };
    let request = CreditRequest {
        kind,
        amount,
        reference: body.reference,
        note: body.note,
        expires_at: expires_on.transpose()?,
    };
    let added = app.accounts.add_credit(&actor, &team, &request).await;
    added.map_err(refused)?;
    done()
}

pub(super) async fn caps(managing: Managing) -> Answer {
    managing.operator()?;
    let caps = managing.app.accounts.caps().await.map_err(failed)?;
    ok(list(caps.iter().map(cap_shown)))
}

pub(super) fn cap_shown(cap: &tokenmill_accounts::CapInfo) -> ShownCap {
    ShownCap {
        scope: cap.scope,
        target: cap.target.clone(),
        period: cap.period,
        limit_usd: cap.limit.to_string(),
        spent_usd: cap.spent.to_string(),
    }
}

/// A cap to set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCap {
    scope: Scope,
    /// A team, `team/project`, or a key's id.
    target: String,
    period: Period,
    /// `null` takes the cap away.
    limit_usd: Option<String>,
}

pub(super) async fn set_cap(managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, body) = managing.body::<NewCap>().await?;
    let limit = body.limit_usd.as_deref().map(|text| dollars("limit_usd", text));
    let target = (body.scope, body.target.as_str());
    let set = app
        .accounts
        .set_cap(&actor, target, body.period, limit.transpose()?);
    // From the answer on it holds, for what this server lets in at least.
    let purses = set.await.map_err(refused)?;
    app.ledger.give_back(&purses).await;
    done()
}

pub(super) async fn prices(managing: Managing) -> Answer {
    managing.operator()?;
    let prices = managing.app.accounts.prices().await.map_err(failed)?;
    let price = |info: &tokenmill_accounts::PriceInfo| ShownPrice {
        model: info.model.clone(),
        version: info.price.version,
        input_usd: info.price.input.to_string(),
        cached_input_usd: info.price.cached_input.to_string(),
        output_usd: info.price.output.to_string(),
        valid_from: info.valid_from.as_secs(),
    };
    ok(list(prices.iter().map(price)))
}

/// A version of a price to add.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPrice {
    model: String,
    /// For a million tokens.
    input_usd: String,
    /// Without it, as the others.
    cached_input_usd: Option<String>,
    output_usd: String,
    /// Without it, now.
    valid_from: Option<String>,
}

pub(super) async fn set_price(managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, body) = managing.body::<NewPrice>().await?;
    let input = dollars("input_usd", &body.input_usd)?;
    let cached = body.cached_input_usd.as_deref();
    let price = Price {
        version: 0,
        input,
        cached_input: cached.map_or(Ok(input), |text| dollars("cached_input_usd", text))?,
        output: dollars("output_usd", &body.output_usd)?,
    };
    let from = body.valid_from.as_deref().map(|text| day("valid_from", text));
    let set = app
        .accounts
        .set_price(&actor, &body.model, price, from.transpose()?);
    ok(MadePrice {
        version: set.await.map_err(refused)?,
    })
}
