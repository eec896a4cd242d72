//! `tokenmill man`: the manual pages.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;

use super::Output;
use crate::failure::Failure;

pub(super) fn cli() -> Command {
    Command::new("man")
        .about("Print the manual page, or write all pages to a folder")
        .long_about(
            "Prints tokenmill(1) for `man -l -`, or writes it and a page for each command to a folder.",
        )
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Write tokenmill.1 and tokenmill-COMMAND.1 to this folder, which must exist"),
        )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let mut cli = super::cli();
    cli.build();
    let Some(dir) = matches.get_one::<PathBuf>("dir") else {
        return Ok(out.write_all(&page(cli)?)?);
    };
    let commands: Vec<Command> = cli
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .cloned()
        .collect();
    let pages = commands.into_iter().map(|command| {
        let name = format!("tokenmill-{}", command.get_name());
        (format!("{name}.1"), command.name(name))
    });
    for (file, command) in pages.chain(std::iter::once(("tokenmill.1".to_owned(), cli))) {
        let path = dir.join(file);
        let written = std::fs::write(&path, page(command)?);
        written.map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
