//! The commands, one file each, and [`COMMANDS`], the one list of them.

mod artifact;
mod bench;
mod chat;
mod completions;
mod config;
mod credit;
mod inspect;
mod keys;
mod ledger;
mod man;
mod models;
mod money;
mod serve;
mod table;
mod teams;

use std::io::Write;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use tokenmill_accounts::{Accounts, SystemClock};

use crate::config::Config;
use crate::failure::Failure;

/// What a command gets to write its answer to.
pub(crate) type Output<'a> = &'a mut dyn Write;

/// A command of the program.
struct Entry {
    /// Its name, help and flags.
    cli: fn() -> Command,
    run: fn(&ArgMatches, Output<'_>) -> Result<(), Failure>,
}

/// Every command, in the order of the help.
const COMMANDS: &[Entry] = &[
    Entry {
        cli: serve::cli,
        run: serve::run,
    },
    Entry {
        cli: chat::cli,
        run: chat::run,
    },
    Entry {
        cli: keys::cli,
        run: keys::run,
    },
    Entry {
        cli: teams::team_cli,
        run: teams::run_team,
    },
    Entry {
        cli: teams::member_cli,
        run: teams::run_member,
    },
    Entry {
        cli: teams::project_cli,
        run: teams::run_project,
    },
    Entry {
        cli: credit::cli,
        run: credit::run,
    },
    Entry {
        cli: money::cap_cli,
        run: money::run_cap,
    },
    Entry {
        cli: money::price_cli,
        run: money::run_price,
    },
    Entry {
        cli: ledger::usage_cli,
        run: ledger::run_usage,
    },
    Entry {
        cli: ledger::ledger_cli,
        run: ledger::run_ledger,
    },
    Entry {
        cli: artifact::cli,
        run: artifact::run,
    },
    Entry {
        cli: models::cli,
        run: models::run,
    },
    Entry {
        cli: inspect::cli,
        run: inspect::run,
    },
    Entry {
        cli: bench::cli,
        run: bench::run,
    },
    Entry {
        cli: config::cli,
        run: config::run,
    },
    Entry {
        cli: completions::cli,
        run: completions::run,
    },
    Entry {
        cli: man::cli,
        run: man::run,
    },
];

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("TOKENMILL_COMMIT"),
    ", ",
    env!("TOKENMILL_TARGET"),
    ")"
);

const ABOUT: &str = "A serverless-inference service that you run yourself";

const LONG_ABOUT: &str = "\
Tokenmill is a serverless-inference service that you run yourself: an OpenAI-compatible API with keys, teams and \
projects, on its own inference engine. `tokenmill serve` needs nothing else: it serves a small built-in model, makes a \
key on the first start and prints how to use it.";

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 something failed, 2 the flags or the config cannot be taken as given.
Every flag that is an option can also be set by a variable or in a file: see `tokenmill config`.";

/// The whole command line.
pub(crate) fn cli() -> Command {
    Command::new("tokenmill")
        .version(VERSION)
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(COMMANDS.iter().map(|entry| (entry.cli)()))
}

/// Runs the command that was asked for.
pub(crate) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let asked = matches.subcommand();
    let found = COMMANDS.iter().find_map(|entry| {
        let (name, matches) = asked?;
        ((entry.cli)().get_name() == name).then_some((entry, matches))
    });
    match found {
        Some((entry, matches)) => (entry.run)(matches, out),
        None => Err(Failure::usage(
            "no command was given; `tokenmill --help` lists them",
        )),
    }
}

/// What was chosen for a command by flags, variables and file.
fn resolve(matches: &ArgMatches) -> Result<Config, Failure> {
    Ok(Config::resolve(matches, |name| std::env::var_os(name))?)
}

/// Who made a change, in the audit log.
const ACTOR: &str = "command line";

/// The accounts that were chosen: a shared database, or the one in the data folder.
async fn open_accounts(config: &Config) -> Result<Accounts, Failure> {
    let database = Some(config.database.as_str()).filter(|url| !url.is_empty());
    let opened = Accounts::open_with(&config.data_dir, database, Arc::new(SystemClock)).await;
    opened.map_err(|error| Failure::new(format!("the data folder cannot be used: {error}")))
}

/// Runs one asynchronous command to its end on this thread.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        cli().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_a_help_text() {
        for command in cli().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command
                .get_arguments()
                .chain(command.get_subcommands().flat_map(Command::get_arguments))
            {
                assert!(
                    arg.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
        }
    }
}
