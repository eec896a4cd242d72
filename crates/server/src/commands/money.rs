//! `tokenmill cap` and `tokenmill price`: how much may be spent, and what things cost.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use tokenmill_accounts::{Nanos, Period, Price, Scope, Timestamp};

use super::credit::{day, dollars};
use super::table::Table;
use super::teams::{accounts, finished, refused, text};
use super::{ACTOR, Output, block_on};
use crate::failure::Failure;

pub(super) fn cap_cli() -> Command {
    let of = |command: Command| {
        command
            .arg(
                Arg::new("scope")
                    .value_name("SCOPE")
                    .required(true)
                    .value_parser(PossibleValuesParser::new(Scope::ALL.map(Scope::name)))
                    .help("Whose spending counts"),
            )
            .arg(
                Arg::new("target")
                    .value_name("NAME")
                    .required(true)
                    .help("A team, a project as team/project, or a key's id"),
            )
            .arg(
                Arg::new("period")
                    .value_name("PERIOD")
                    .required(true)
                    .value_parser(PossibleValuesParser::new(Period::ALL.map(Period::name)))
                    .help("Over how long; months and years are those of UTC"),
            )
    };
    let limit = Arg::new("limit")
        .value_name("USD")
        .required(true)
        .value_parser(dollars)
        .help("At most, in dollars");
    Command::new("cap")
        .about("Set, take away and list spending caps")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(of(Command::new("set").about("Set a cap")).arg(limit)))
        .subcommand(finished(of(
            Command::new("clear").about("Take a cap away; a team then has its tier's")
        )))
        .subcommand(finished(
            Command::new("list").about("List the caps that are set, and how far they are used"),
        ))
}

pub(super) fn run_cap(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        if name != "list" {
            let (scope, period) = (
                Scope::from_name(text(matches, "scope")),
                Period::from_name(text(matches, "period")),
            );
            let (Some(scope), Some(period)) = (scope, period) else {
                return Err(Failure::usage("a cap needs a scope and a period"));
            };
            let limit = matches.try_get_one::<Nanos>("limit").ok().flatten().copied();
            let target = text(matches, "target");
            let set = accounts.set_cap(ACTOR, (scope, target), period, limit);
            set.await.map_err(refused)?;
        }
        let caps = accounts
            .caps()
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        accounts.close().await;
        let mut table = Table::new(&["scope", "target", "period", "limit_usd", "spent_usd"]);
        for cap in caps {
            table.row(vec![
                json!(cap.scope.name()),
                json!(cap.target),
                json!(cap.period.name()),
                json!(cap.limit.to_string()),
                json!(cap.spent.to_string()),
            ]);
        }
        table.write(matches.get_flag("json"), out)
    })
}

pub(super) fn price_cli() -> Command {
    let part = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name("USD")
            .value_parser(dollars)
            .help(help)
    };
    let set = Command::new("set")
        .about("Set what a model costs from now or a day on; what was admitted before keeps its price")
        .arg(
            Arg::new("model")
                .value_name("ID")
                .required(true)
                .help("The model, as requests name it"),
        )
        .arg(part("input", "Dollars for a million tokens of the prompt").required(true))
        .arg(part(
            "cached-input",
            "Dollars for a million of them that the prefix cache had; without it, as the others",
        ))
        .arg(part("output", "Dollars for a million tokens generated").required(true))
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("DAY")
                .value_parser(day)
                .help("From the beginning of this day in UTC, as in 2026-12-31; without it, from now"),
        );
    Command::new("price")
        .about("Set and list prices; a model without one costs nothing")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(finished(set))
        .subcommand(finished(
            Command::new("list").about("List every version of every price"),
        ))
}

pub(super) fn run_price(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    block_on(async {
        let accounts = accounts(matches).await?;
        if name == "set" {
            let part = |id| matches.get_one::<Nanos>(id).copied();
            let input = part("input").unwrap_or_default();
            let price = Price {
                version: 0,
                input,
                cached_input: part("cached-input").unwrap_or(input),
                output: part("output").unwrap_or_default(),
            };
            let from = matches.get_one::<Timestamp>("from").copied();
            let set = accounts.set_price(ACTOR, text(matches, "model"), price, from);
            set.await.map_err(refused)?;
        }
        let prices = accounts
            .prices()
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        accounts.close().await;
        let columns = &[
            "model",
            "version",
            "input_usd",
            "cached_input_usd",
            "output_usd",
            "valid_from",
        ];
        let mut table = Table::new(columns);
        for info in prices {
            table.row(vec![
                json!(info.model),
                json!(info.price.version),
                json!(info.price.input.to_string()),
                json!(info.price.cached_input.to_string()),
                json!(info.price.output.to_string()),
                json!(info.valid_from.to_string()),
            ]);
        }
        table.write(matches.get_flag("json"), out)
    })
}
