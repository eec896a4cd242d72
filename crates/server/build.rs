//! Tells the program which build it is.

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    println!(
        "cargo::rustc-env=TOKENMILL_TARGET={}",
        std::env::var("TARGET").unwrap_or_default()
    );
    println!("cargo::rustc-env=TOKENMILL_COMMIT={}", commit(&root));
}

/// The commit that is built, or `unknown` outside a checkout.
fn commit(root: &Path) -> String {
    let git = root.join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).unwrap_or_default();
    for file in std::iter::once("HEAD").chain(head.trim().strip_prefix("ref: ")) {
        if git.join(file).exists() {
            println!("cargo::rerun-if-changed={}", git.join(file).display());
        }
    }
    let output = Command::new("git")
        .current_dir(root)
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    let commit = output.ok().filter(|output| output.status.success());
    commit.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
