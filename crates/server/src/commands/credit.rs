//! `tokenmill credit`: what a team has paid, was given, and has left.

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use tokenmill_accounts::{Accounts, Balance, CreditInfo, CreditKind, CreditRequest, Nanos, Timestamp};

use super::table::Table;
use super::teams::{accounts, finished, named, refused, text};
use super::{ACTOR, Output, block_on};
use crate::failure::Failure;

/// Changes that are shown.
const MAX_SHOWN: u32 = 1_000;

pub(super) fn cli() -> Command {
    let change = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .arg(named("team", "The team"))
            .arg(
                Arg::new("amount")
                    .value_name("USD")
                    .required(true)
                    .value_parser(dollars)
                    .help("How much, in dollars, with up to nine places"),
            )
            .arg(
                Arg::new("reference")
                    .long("reference")
                    .value_name("TEXT")
                    .required(true)
                    .help("Names the payment; the same one again changes nothing"),
            )
            .arg(
                Arg::new("note")
                    .long("note")
                    .value_name("TEXT")
                    .default_value("")
                    .help("For people"),
            )
    };
    let expires = Arg::new("expires")
        .long("expires")
        .value_name("DAY")
        .value_parser(day)
        .help("What is not used before this day, as in 2026-12-31, is taken back");
    Command::new("credit")
        .about("Add, take back and show a team's credit")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(change("add", "Add what a team has paid")))
        .subcommand(finished(change("grant", "Give credit away").arg(expires)))
        .subcommand(finished(change(
            "refund",
            "Take back what is neither spent nor held",
        )))
        .subcommand(finished(
            Command::new("show")
                .about("Show a team's balance and what changed it")
                .arg(named("team", "The team")),
        ))
}

pub(super) fn dollars(text: &str) -> Result<Nanos, String> {
    Nanos::parse_dollars(text).ok_or_else(|| "write dollars as in 12.50, with up to nine places".to_owned())
}

pub(super) fn day(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_day(text).ok_or_else(|| "write a day as in 2026-12-31".to_owned())
}

/// What `credit grant`, `purchase` and `refund` do before the account is shown.
async fn change(accounts: &Accounts, name: &str, team: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let amount = || matches.get_one::<Nanos>("amount").copied().unwrap_or_default();
    let (reference, note) = (|| text(matches, "reference"), || text(matches, "note"));
    let changed = match name {
        "show" => return Ok(()),
        "refund" => {
            accounts
                .refund_credit(ACTOR, team, amount(), reference(), note())
                .await
        }
        _ => {
            let kind = if name == "grant" {
                CreditKind::Grant
            } else {
                CreditKind::Purchase
            };
            let expires_at = matches
                .try_get_one::<Timestamp>("expires")
                .ok()
                .flatten()
                .copied();
            let request = CreditRequest {
                kind,
                amount: amount(),
                reference: reference().to_owned(),
                note: note().to_owned(),
                expires_at,
            };
            accounts.add_credit(ACTOR, team, &request).await
        }
    };
    changed.map(drop).map_err(refused)
}

fn as_json(balance: &Balance, entries: &[CreditInfo]) -> Value {
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| {
            json!({
                "at": entry.at.as_secs(), "kind": entry.kind, "amount_usd": entry.amount.to_string(),
                "reference": entry.reference, "note": entry.note,
                "expires_at": entry.expires_at.map(Timestamp::as_secs),
            })
        })
        .collect();
    json!({
        "credit_usd": balance.credit.to_string(), "spent_usd": balance.spent.to_string(),
        "left_usd": balance.left().to_string(), "held_usd": balance.lent.to_string(), "entries": entries,
    })
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        let team = text(matches, "team");
        change(&accounts, name, team, matches).await?;
        accounts
            .expire_credit()
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        let (balance, entries) = accounts.credit(team, MAX_SHOWN).await.map_err(refused)?;
        accounts.close().await;
        if matches.get_flag("json") {
            return Ok(writeln!(out, "{:#}", as_json(&balance, &entries))?);
        }
        let (credit, spent, left) = (balance.credit, balance.spent, balance.left());
        writeln!(
            out,
            "{left} USD left: {credit} USD of credit, {spent} USD spent; servers hold {}\n",
            balance.lent
        )?;
        let mut table = Table::new(&["at", "kind", "amount_usd", "reference", "note", "expires"]);
        for entry in entries {
            table.row(vec![
                json!(entry.at.to_string()),
                json!(entry.kind),
                json!(entry.amount.to_string()),
                json!(entry.reference),
                json!(entry.note),
                json!(entry.expires_at.map(Timestamp::date)),
            ]);
        }
        table.write(false, out)
    })
}
