//! The `tokenmill` binary: read what was chosen, build the parts from the bottom up, serve, drain. The commands that
//! do so are in [`commands`], one file each.

mod config;

mod assemble;
mod builtin;
mod failure;
mod logging;
mod model_spec;

mod commands;

use std::io::Write;
use std::process::ExitCode;

use failure::Failure;

fn main() -> ExitCode {
    let matches = commands::cli().get_matches();
    match commands::run(&matches, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, exit_code }) => {
            // Where standard error is closed, the exit code still tells.
            if !message.is_empty() {
                let _ = writeln!(std::io::stderr(), "tokenmill: {message}");
            }
            ExitCode::from(exit_code)
        }
    }
}
