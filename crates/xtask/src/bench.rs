//! The comparison with other engines: builds ours, makes the driver's Python environment, and hands over to
//! `tools/bench/peers.py`, which installs the peers from PyPI.

use std::path::Path;
use std::process::Command;

use crate::steps::{run, target, venv_at};

/// Pinned, so that plots look the same wherever they are drawn.
const DRIVER_PACKAGES: [&str; 1] = ["matplotlib==3.11.2"];

/// Runs `cargo xtask bench peers` with the caller's own flags and files behind ours.
pub(crate) fn peers(root: &Path, arguments: &[String]) -> Result<(), String> {
    run(Command::new("cargo").current_dir(root).args([
        "build",
        "--release",
        "--locked",
        "--bin",
        "tokenmill",
    ]))?;
    let target = target(root);
    let folder = target.join("bench");
    let python = venv_at(&folder.join("venv"))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .args(DRIVER_PACKAGES))?;
    run(Command::new(python)
        .arg(root.join("tools/bench/peers.py"))
        .arg("--binary")
        .arg(target.join("release/tokenmill"))
        .arg("--folder")
        .arg(&folder)
        .arg("--docs")
        .arg(root.join("docs"))
        .arg("--command")
        .arg(format!("cargo xtask bench peers {}", arguments.join(" ")))
        .args(arguments))
}
