//! Project chores, so that contributors need only cargo: `cargo xtask test` and `cargo xtask tidy`.

mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test          format, lints, every test (Rust, Python SDK, Node SDK), docs; installs what it needs
cargo xtask test NAME …   only these steps: fmt, clippy, rust, docs, python, node
cargo xtask tidy          the rules of the tree: dependency direction, file sizes, names";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let result = match args.next().as_deref() {
        Some("test") => steps::test(&root(), &args.collect::<Vec<_>>()),
        Some("tidy") => report(&tidy::check(&root())),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn report(faults: &[String]) -> Result<(), String> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// The repository's root, two levels above this crate.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}
