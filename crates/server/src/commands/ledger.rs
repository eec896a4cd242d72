//! `tokenmill usage` and `tokenmill ledger`: what was used, and the proof of it.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use tokenmill_accounts::{Accounts, GroupBy, Period, Timestamp, UsageQuery, UsageRow, Verified};

use super::credit::day;
use super::table::Table;
use super::teams::{accounts, finished, named, refused, text};
use super::{Output, block_on};
use crate::failure::Failure;

/// Administrative changes that are shown.
const MAX_AUDIT: u32 = 10_000;
const NUMBERS: [&str; 5] = [
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_usd",
];

pub(super) fn usage_cli() -> Command {
    let a_day = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name("DAY")
            .value_parser(day)
            .help(help)
    };
    let command = Command::new("usage")
        .about("Show what a team has used")
        .arg(named("team", "The team"))
        .arg(a_day(
            "from",
            "The first day in UTC, as in 2026-12-31; without it, the first of this month",
        ))
        .arg(a_day("until", "The day after the last; without it, tomorrow"))
        .arg(
            Arg::new("by")
                .long("by")
                .value_name("WHAT")
                .value_delimiter(',')
                .value_parser(PossibleValuesParser::new(GroupBy::ALL.map(GroupBy::name)))
                .help("What rows are about, with commas between several; without it, one row for all"),
        )
        .arg(
            Arg::new("csv")
                .long("csv")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("Print CSV instead of a table"),
        );
    finished(command)
}

pub(super) fn run_usage(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    block_on(async {
        let accounts = accounts(matches).await?;
        let now = accounts.now();
        let moment = |id| matches.get_one::<Timestamp>(id).copied();
        let month = Period::Month.days(&Period::Month.window(now));
        let first = Timestamp::of_day(month.map_or(now.day(), |(first, _)| first));
        let by = matches.get_many::<String>("by").unwrap_or_default();
        let query = UsageQuery {
            team: text(matches, "team").to_owned(),
            from: moment("from").unwrap_or(first),
            until: moment("until").unwrap_or(Timestamp::of_day(now.day() + 1)),
            by: by.filter_map(|name| GroupBy::from_name(name)).collect(),
        };
        let rows = accounts.report(&query).await.map_err(refused)?;
        accounts.close().await;
        if matches.get_flag("csv") {
            return write_csv(&query, &rows, out);
        }
        write_rows(&query, &rows, matches.get_flag("json"), out)
    })
}

fn values(row: &UsageRow) -> [Value; 5] {
    [
        json!(row.n_requests),
        json!(row.n_prompt),
        json!(row.n_cached),
        json!(row.n_completion),
        json!(row.cost.to_string()),
    ]
}

fn write_rows(query: &UsageQuery, rows: &[UsageRow], is_json: bool, out: Output<'_>) -> Result<(), Failure> {
    const COLUMNS: &[&str] = &["day", "model", "project", "key"];
    if is_json {
        let object = |row: &UsageRow| {
            let groups = query
                .by
                .iter()
                .map(|by| by.name())
                .zip(row.group.iter().map(|name| json!(name)));
            let numbers = NUMBERS.into_iter().zip(values(row));
            Value::Object(
                groups
                    .chain(numbers)
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        };
        let rows: Vec<Value> = rows.iter().map(object).collect();
        return Ok(writeln!(out, "{:#}", json!(rows))?);
    }
    let mut table = Table::new(&[
        "day",
        "model",
        "project",
        "key",
        "requests",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "cost_usd",
    ]);
    for row in rows {
        let named = |column: &&str| {
            let at = query.by.iter().position(|by| by.name() == *column);
            at.and_then(|at| row.group.get(at))
                .map_or(Value::Null, |name| json!(name))
        };
        table.row(COLUMNS.iter().map(named).chain(values(row)).collect());
    }
    table.write(false, out)
}

fn write_csv(query: &UsageQuery, rows: &[UsageRow], out: Output<'_>) -> Result<(), Failure> {
    let names: Vec<&str> = query.by.iter().map(|by| by.name()).chain(NUMBERS).collect();
    writeln!(out, "{}", names.join(","))?;
    for row in rows {
        let numbers =
            values(row).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let cells = row.group.iter().map(|name| csv_cell(name)).chain(numbers);
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

/// In quotes where RFC 4180 asks for them, and with a mark before what a spreadsheet would take for a formula.
fn csv_cell(text: &str) -> String {
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

pub(super) fn ledger_cli() -> Command {
    let verify =
        Command::new("verify").about("Compute every amount again from the rows alone, and follow the chains");
    let audit = Command::new("audit").about("List administrative changes, the latest first");
    Command::new("ledger")
        .about("Prove the ledger, and show who changed what")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(verify))
        .subcommand(finished(audit))
        .subcommand(finished(
            Command::new("rows")
                .about("Print every request of a team that the ledger has: CSV, or with --json an object a line")
                .arg(named("team", "The team")),
        ))
        .subcommand(finished(Command::new("servers").about(
            "List the servers of this database, and the credit that each was lent",
        )))
        .subcommand(finished(
            Command::new("release")
                .about("Take back what a server was lent that is gone for good; what its disk had not told is lost")
                .arg(named("server", "Its id, as the list shows it")),
        ))
}

pub(super) fn run_ledger(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        let failed = |error: tokenmill_accounts::StoreError| Failure::new(error.to_string());
        if name == "rows" {
            write_ledger_rows(&accounts, text(matches, "team"), matches.get_flag("json"), out).await?;
            accounts.close().await;
            return Ok(());
        }
        if name == "servers" || name == "release" {
            if name == "release" {
                let released = accounts.release_server(super::ACTOR, text(matches, "server"));
                released.await.map_err(refused)?;
            }
            let mut table = Table::new(&["server", "started", "heard", "lent_usd"]);
            for server in accounts.servers().await.map_err(failed)? {
                table.row(vec![
                    json!(server.id),
                    json!(server.started_at.to_string()),
                    json!(server.heard_at.to_string()),
                    json!(server.lent.to_string()),
                ]);
            }
            accounts.close().await;
            return table.write(matches.get_flag("json"), out);
        }
        if name == "audit" {
            let mut table = Table::new(&["seq", "at", "actor", "action", "target", "detail"]);
            for change in accounts.audit(MAX_AUDIT).await.map_err(failed)? {
                table.row(vec![
                    json!(change.seq),
                    json!(change.at.to_string()),
                    json!(change.actor),
                    json!(change.action),
                    json!(change.target),
                    json!(change.detail),
                ]);
            }
            accounts.close().await;
            return table.write(matches.get_flag("json"), out);
        }
        let found = accounts.verify().await.map_err(failed)?;
        accounts.close().await;
        write_verdict(&found, matches.get_flag("json"), out)
    })
}

/// Page by page, for there may be millions.
async fn write_ledger_rows(
    accounts: &Accounts,
    team: &str,
    is_json: bool,
    out: Output<'_>,
) -> Result<(), Failure> {
    const COLUMNS: &str = "id,admitted,ended,project,key,model,status,prompt_tokens,cached_tokens,completion_tokens,\
                           price_version,held_usd,cost_usd";
    if !is_json {
        writeln!(out, "{COLUMNS}")?;
    }
    let mut last = 0;
    loop {
        let rows = accounts.ledger_rows(team, last).await.map_err(refused)?;
        let Some(end) = rows.last() else { return Ok(()) };
        last = end.seq;
        for row in rows {
            let usage = row.usage;
            let tokens = usage.tokens;
            let values = [
                json!(usage.id.to_string()),
                json!(usage.admitted_at.to_string()),
                json!(usage.ended_at.to_string()),
                json!(row.project),
                json!(usage.key_id),
                json!(usage.model),
                json!(usage.status.name()),
                json!(tokens.n_prompt),
                json!(tokens.n_cached),
                json!(tokens.n_completion),
                json!(usage.price.version),
                json!(usage.hold.to_string()),
                json!(usage.cost.to_string()),
            ];
            if is_json {
                let fields = COLUMNS.split(',').map(str::to_owned).zip(values);
                writeln!(out, "{}", Value::Object(fields.collect()))?;
            } else {
                let cell = |value: &Value| match value {
                    Value::String(text) => csv_cell(text),
                    Value::Null => String::new(),
                    number => number.to_string(),
                };
                writeln!(out, "{}", values.iter().map(cell).collect::<Vec<_>>().join(","))?;
            }
        }
    }
}

fn write_verdict(found: &Verified, as_json: bool, out: Output<'_>) -> Result<(), Failure> {
    if as_json {
        let shown = json!({
            "teams": found.n_teams, "usage": found.n_usage, "entries": found.n_entries, "audit": found.n_audit,
            "cost_usd": found.cost.to_string(), "n_faults": found.n_faults, "faults": found.faults,
        });
        writeln!(out, "{shown:#}")?;
    } else {
        let (usage, entries, audit) = (found.n_usage, found.n_entries, found.n_audit);
        writeln!(
            out,
            "{} teams, {usage} requests for {} USD, {entries} changes of credit, {audit} administrative changes",
            found.n_teams, found.cost
        )?;
        for fault in &found.faults {
            writeln!(out, "FAULT: {fault}")?;
        }
    }
    match found.n_faults {
        0 => Ok(()),
        n => Err(Failure::new(format!(
            "the ledger is not what was written: {n} faults"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be() {
        assert_eq!(csv_cell("a/b"), "a/b");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=1+1"), "'=1+1");
    }
}
