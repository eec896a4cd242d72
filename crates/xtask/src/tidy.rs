//! Rules of the tree that no compiler checks. Each rule is a function from the tree to faults; a test runs them all,
//! so that a slip fails the build and not a review.

use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each crate may depend on. The chain is the order in which a request travels.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("kernels", &[]),
    ("model", &["kernels"]),
    ("engine", &["model", "kernels"]),
    ("text", &[]),
    ("inference", &["text", "engine", "model", "kernels"]),
    ("accounts", &[]),
    ("gateway", &["inference", "accounts"]),
    (
        "server",
        &[
            "gateway",
            "accounts",
            "inference",
            "text",
            "engine",
            "model",
            "kernels",
        ],
    ),
];

/// Names that say nothing about what is in a module.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "core", "helpers", "misc"];

/// Lines of a source file, inline tests left out.
const MAX_FILE_LINES: usize = 600;

/// Checks every rule and gives the faults found, each a sentence that names the file.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let sources = sources(&root.join("crates"));
    let mut faults = dependency_direction(root);
    faults.extend(sources.iter().flat_map(|path| source_faults(root, path)));
    faults.extend(architecture_names_every_crate(root));
    faults
}

fn dependency_direction(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, allowed) in MAY_DEPEND {
        let manifest = fs::read_to_string(root.join(format!("crates/{name}/Cargo.toml"))).unwrap_or_default();
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in shipped.lines() {
            let Some(rest) = line.strip_prefix("tokenmill-") else {
                continue;
            };
            let other: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            if !allowed.contains(&other.as_str()) {
                faults.push(format!(
                    "crates/{name}/Cargo.toml: {name} may not depend on {other}"
                ));
            }
        }
    }
    faults
}

fn source_faults(root: &Path, path: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let text = fs::read_to_string(path).unwrap_or_default();
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        faults.push(format!(
            "{shown}: a module is named for what is in it, not {stem:?}"
        ));
    }
    let lines = text
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .lines()
        .count();
    if lines > MAX_FILE_LINES && shown.contains("/src/") {
        faults.push(format!(
            "{shown}: {lines} lines; split it where it has two subjects (limit {MAX_FILE_LINES})"
        ));
    }
    let product = !shown.contains("/tests/") && !shown.contains("xtask") && !shown.contains("testkit");
    if product
        && text
            .split("#[cfg(test)]")
            .next()
            .unwrap_or_default()
            .contains("../shared")
    {
        faults.push(format!(
            "{shown}: the product may not need anything outside the repository"
        ));
    }
    faults
}

fn architecture_names_every_crate(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    crates
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !text.contains(&format!("`{name}`")))
        .map(|name| format!("ARCHITECTURE.md: does not say what `{name}` is for"))
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let faults = check(&crate::root());
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn a_file_with_an_empty_name_is_a_fault() {
        let faults = source_faults(Path::new("/"), Path::new("/crates/engine/src/utils.rs"));
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
