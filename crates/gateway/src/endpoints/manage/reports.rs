//! Usage, the catalogue, the audit log and the proof.

use axum::extract::Path;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use tokenmill_accounts::{GroupBy, KeyScope, ModelEntry, Period, Timestamp, UsageQuery, UsageRow};

use super::{Answer, Managing, Parts, content_type, day, done, failed, list, named, ok, refused};

const MAX_AUDIT: u32 = 1_000;
const NUMBERS: [&str; 5] = [
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_usd",
];

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    from: Option<String>,
    until: Option<String>,
    /// With commas between several.
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
    let entry = |entry: &ModelEntry| {
        let mut shown = json!(entry);
        shown["stage"] = json!(entry.stage(now));
        shown
    };
    ok(list(catalogue.models().map(entry)))
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
    let change = |change: &tokenmill_accounts::AuditInfo| {
        json!({
            "seq": change.seq, "at": change.at.as_secs(), "actor": change.actor, "action": change.action,
            "target": change.target, "detail": serde_json::from_str::<Value>(&change.detail).unwrap_or_default(),
        })
    };
    ok(list(changes.iter().map(change)))
}

pub(super) async fn verify(managing: Managing) -> Answer {
    managing.operator()?;
    let found = managing.app.accounts.verify().await.map_err(failed)?;
    ok(json!({
        "teams": found.n_teams, "usage": found.n_usage, "entries": found.n_entries, "audit": found.n_audit,
        "cost_usd": found.cost.to_string(), "n_faults": found.n_faults, "faults": found.faults,
    }))
}
