//! Usage, the catalogue, the audit log and the proof.

use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenmill_accounts::{GroupBy, KeyScope, ModelEntry, Period, Stage, Timestamp, UsageQuery, UsageRow};

use super::{
    Answer, DONE, List, Managing, Operation, Parts, content_type, day, done, failed, list, named, ok, refused,
};
use crate::openapi::{Reply, schema};

pub(super) const USAGE: &[Operation] = &[Operation::new(
    "GET",
    "What a team used",
    &[
        Reply::json(schema::<List<ShownUsage>>),
        Reply::text("text/csv; charset=utf-8"),
    ],
    || get(usage),
)
.asking(schema::<Question>)];

pub(super) const MODELS: &[Operation] = &[
    Operation::new(
        "GET",
        "The catalogue",
        &[Reply::json(schema::<List<ShownModel<'static>>>)],
        || get(catalogue),
    ),
    Operation::new("PUT", "Add a version of an entry of the catalogue", DONE, || {
        put(set_model)
    })
    .with(schema::<ModelEntry>),
];

pub(super) const AUDIT: &[Operation] = &[Operation::new(
    "GET",
    "Administrative changes, the latest first",
    &[Reply::json(schema::<List<ShownChange>>)],
    || get(audit),
)];

pub(super) const VERIFY: &[Operation] = &[Operation::new(
    "GET",
    "The proof of the ledger, computed anew",
    &[Reply::json(schema::<Proof>)],
    || get(verify),
)];

/// What was used by one group of requests; of `day`, `model`, `adapter`, `project`, `key` and `person` those that were asked for.
#[derive(JsonSchema)]
#[allow(dead_code)] // For its schema alone: which fields there are depends on the question.
struct ShownUsage {
    #[schemars(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// A version of an adapter, as in `team/project/name:v3`; empty where none was used.
    #[schemars(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    requests: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    cost_usd: String,
}

/// An entry of the catalogue, and where the model is in its life today.
#[derive(Serialize, JsonSchema)]
struct ShownModel<'a> {
    #[serde(flatten)]
    #[schemars(with = "ModelEntry")]
    entry: &'a ModelEntry,
    stage: Stage,
}

/// An administrative change.
#[derive(Serialize, JsonSchema)]
struct ShownChange {
    /// Counts up from 1.
    seq: i64,
    /// Seconds since 1970.
    at: i64,
    actor: String,
    action: String,
    target: String,
    detail: Value,
}

/// What the proof of the ledger found.
#[derive(Serialize, JsonSchema)]
struct Proof {
    teams: u64,
    usage: u64,
    entries: u64,
    audit: u64,
    cost_usd: String,
    n_faults: u64,
    /// The first hundred.
    faults: Vec<String>,
}

const MAX_AUDIT: u32 = 1_000;
const NUMBERS: [&str; 5] = [
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_usd",
];

#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

/// What is to be told of usage.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The first day; without it, the first of this month.
    from: Option<String>,
    /// The day behind the last; without it, tomorrow.
    until: Option<String>,
    /// `day`, `model`, `project` or `key`, with commas between several.
    by: Option<String>,
    #[serde(default)]
    format: Format,
}

pub(super) async fn usage(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::ReadUsage).await?;
    let question: Question = managing.query()?;
    let accounts = &managing.app.accounts;
    let now = accounts.now();
    let month = Period::Month.days(&Period::Month.window(now));
    let first = Timestamp::of_day(month.map_or(now.day(), |(first, _)| first));
    let moment = |param, text: &Option<String>, otherwise| {
        let text = text.as_deref();
        text.map_or(Ok(otherwise), |text| day(param, text))
    };
    let by = question.by.as_deref().unwrap_or_default().split(',');
    let by = by.filter(|name| !name.is_empty());
    let query = UsageQuery {
        team,
        from: moment("from", &question.from, first)?,
        until: moment("until", &question.until, Timestamp::of_day(now.day() + 1))?,
        by: by
            .map(|name| named("by", name, GroupBy::from_name))
            .collect::<Result<_, _>>()?,
    };
    let rows = accounts.report(&query).await.map_err(refused)?;
    if question.format == Format::Csv {
        let mut response = csv(&query, &rows).into_response();
        content_type(response.headers_mut(), "text/csv; charset=utf-8");
        return Ok(response);
    }
    ok(list(rows.iter().map(|row| object(&query, row))))
}

fn numbers(row: &UsageRow) -> [Value; 5] {
    [
        json!(row.n_requests),
        json!(row.n_prompt),
        json!(row.n_cached),
        json!(row.n_completion),
        json!(row.cost.to_string()),
    ]
}

fn object(query: &UsageQuery, row: &UsageRow) -> Value {
    let names = query.by.iter().map(|by| by.name());
    let groups = names.zip(row.group.iter().map(|name| json!(name)));
    let fields = groups.chain(NUMBERS.into_iter().zip(numbers(row)));
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn csv(query: &UsageQuery, rows: &[UsageRow]) -> String {
    let header: Vec<&str> = query.by.iter().map(|by| by.name()).chain(NUMBERS).collect();
    let mut text = header.join(",") + "\r\n";
    for row in rows {
        let shown = numbers(row).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let cells = row.group.iter().map(|name| cell(name)).chain(shown);
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

/// In quotes where RFC 4180 asks for them, and with a mark before what a spreadsheet would take for a formula.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

pub(super) async fn catalogue(managing: Managing) -> Answer {
    managing.operator()?;
    let accounts = &managing.app.accounts;
    let (catalogue, now) = (accounts.catalogue().await.map_err(failed)?, accounts.now());
    let shown = |entry| ShownModel {
        entry,
        stage: ModelEntry::stage(entry, now),
    };
    ok(list(catalogue.models().map(shown)))
}

pub(super) async fn set_model(managing: Managing) -> Answer {
    managing.operator()?;
    let (app, actor, entry) = managing.body::<ModelEntry>().await?;
    app.accounts.set_model(&actor, &entry).await.map_err(refused)?;
    done()
}

pub(super) async fn audit(managing: Managing) -> Answer {
    managing.operator()?;
    let changes = managing.app.accounts.audit(MAX_AUDIT).await.map_err(failed)?;
    let change = |change: &tokenmill_accounts::AuditInfo| ShownChange {
        seq: change.seq,
        at: change.at.as_secs(),
        actor: change.actor.clone(),
        action: change.action.clone(),
        target: change.target.clone(),
        detail: serde_json::from_str(&change.detail).unwrap_or_default(),
    };
    ok(list(changes.iter().map(change)))
}

pub(super) async fn verify(managing: Managing) -> Answer {
    managing.operator()?;
    let found = managing.app.accounts.verify().await.map_err(failed)?;
    ok(Proof {
        teams: found.n_teams,
        usage: found.n_usage,
        entries: found.n_entries,
        audit: found.n_audit,
        cost_usd: found.cost.to_string(),
        n_faults: found.n_faults,
        faults: found.faults,
    })
}
