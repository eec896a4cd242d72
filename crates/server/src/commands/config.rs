//! `tokenmill config`: a config file to begin with.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Output;
use crate::config::{example_file, reference_page};
use crate::failure::Failure;

const LONG_ABOUT: &str = "\
Prints a config file with every option, explained and set to its default:

  tokenmill config > tokenmill.toml
  tokenmill serve --config tokenmill.toml";

pub(super) fn cli() -> Command {
    Command::new("config")
        .about("Print a config file with every option, explained and set to its default")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("reference")
                .long("reference")
                .action(ArgAction::SetTrue)
                .help("Print the reference page of all options instead, in Markdown"),
        )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let text = if matches.get_flag("reference") {
        reference_page()
    } else {
        example_file()
    };
    Ok(out.write_all(text.as_bytes())?)
}
