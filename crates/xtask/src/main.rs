//! Project chores, so that contributors need only cargo: `cargo xtask test`, `tidy` and `bench`.

mod bench;
mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test          format, lints, every test (Rust, Python SDK, Node SDK, console), docs; installs what it needs
cargo xtask test NAME …   only these steps: fmt, clippy, fuzz, rust, docs, python, node, console
cargo xtask tidy          the rules of the tree: dependency direction, file sizes, names
cargo xtask bench peers MODEL.gguf …   compare with llama.cpp and others on the same files (--help tells the flags)";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next();
    let rest: Vec<String> = args.collect();
    let result = match (chore.as_deref(), rest.split_first()) {
        (Some("test"), _) => steps::test(&root(), &rest),
        (Some("tidy"), None) => report(&tidy::check(&root())),
        (Some("bench"), Some((what, rest))) if what == "peers" => bench::peers(&root(), rest),
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
