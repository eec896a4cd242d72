//! Where log lines go: standard error, so that standard output is what a command answers.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;

use crate::config::Config;

/// Starts logging for the rest of the program.
pub(crate) fn start(config: &Config) {
    let level: LevelFilter = config.log_level.parse().unwrap_or(LevelFilter::INFO);
    let is_terminal = std::io::stderr().is_terminal();
    let is_json = match config.log_format.as_str() {
        "json" => true,
        "human" => false,
        _ => !is_terminal,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // Where standard error is a file on a full disk, a line is lost; telling of that there would be a panic.
        .log_internal_errors(false)
        .with_target(level >= LevelFilter::DEBUG);
    // Only fails where logging has been started before.
    let _ = if is_json {
        tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish())
    } else {
        tracing::subscriber::set_global_default(lines.with_ansi(is_terminal).compact().finish())
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// Tells where a panic was. What it says is left out: it may quote a prompt.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = thread.name().unwrap_or("unnamed"),
        at = panic.location().map(ToString::to_string),
        "panic: this is a bug"
    );
}
