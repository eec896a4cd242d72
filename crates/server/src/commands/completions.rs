//! `tokenmill completions`: what a shell needs to complete our command line.

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::Output;
use crate::failure::Failure;

const LONG_ABOUT: &str = "\
Prints a completion script for a shell.

  bash:  tokenmill completions bash > ~/.local/share/bash-completion/completions/tokenmill
  zsh:   tokenmill completions zsh > \"${fpath[1]}/_tokenmill\"
  fish:  tokenmill completions fish > ~/.config/fish/completions/tokenmill.fish";

pub(super) fn cli() -> Command {
    Command::new("completions")
        .about("Print a completion script for a shell")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("Which shell it is for"),
        )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let Some(shell) = matches.get_one::<Shell>("shell") else {
        return Err(Failure::usage("no shell was named"));
    };
    // Into memory first: the generator panics where writing fails.
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut super::cli(), "tokenmill", &mut script);
    Ok(out.write_all(&script)?)
}
