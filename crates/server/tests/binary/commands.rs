//! The commands that need no server.

use serde_json::Value;

use crate::process::{fails, succeeds};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tokenmill-demo.gguf");

#[test]
fn the_version_names_the_build() {
    let version = succeeds(&["--version"]);
    assert!(
        version.starts_with(concat!("tokenmill ", env!("CARGO_PKG_VERSION"), " (commit ")),
        "{version}"
    );
}

#[test]
fn inspect_lists_what_is_in_a_file() {
    let table = succeeds(&["inspect", DEMO]);
    assert!(
        table.contains("general.architecture") && table.contains("token_embd.weight"),
        "{table}"
    );
    let json: Value = serde_json::from_str(&succeeds(&["inspect", DEMO, "--json"])).unwrap();
    assert!(json["metadata"]["general.architecture"].is_string());
    let tensors = json["tensors"].as_array().unwrap();
    let n_params: u64 = tensors
        .iter()
        .map(|tensor| {
            tensor["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_u64().unwrap())
                .product::<u64>()
        })
        .sum();
    assert_eq!(json["parameters"], n_params);

    let (code, message) = fails(&["inspect", "/nowhere/model.gguf"]);
    assert_eq!(code, 1);
    assert!(message.contains("/nowhere/model.gguf"), "{message}");
}

#[test]
fn models_lists_what_would_be_served() {
    assert!(succeeds(&["models"]).contains("tokenmill/demo"));
    let json = succeeds(&["models", "--json", "--model", &format!("acme/chat={DEMO}")]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["id"], "acme/chat");
    assert!(json[0]["parameters"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn the_printed_config_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenmill.toml");
    std::fs::write(&path, succeeds(&["config"])).unwrap();
    assert!(succeeds(&["models", "--config", path.to_str().unwrap()]).contains("tokenmill/demo"));
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeds(&["completions", shell]).contains("tokenmill"), "{shell}");
    }
    assert!(succeeds(&["man"]).contains(".TH tokenmill 1"));
    let dir = tempfile::tempdir().unwrap();
    let listed = succeeds(&["man", "--dir", dir.path().to_str().unwrap()]);
    for page in ["tokenmill.1", "tokenmill-serve.1", "tokenmill-keys.1"] {
        assert!(dir.path().join(page).exists() && listed.contains(page), "{page}");
    }
}

#[test]
fn keys_are_made_with_an_end_and_listed_without_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = ["--data-dir", dir.path().to_str().unwrap()];
    let made = succeeds(
        &[
            &["keys", "create", "--name", "ci", "--expires-in", "90d", "--json"],
            &data_dir[..],
        ]
        .concat(),
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    let lifetime = made["expires_at"].as_i64().unwrap() - made["created_at"].as_i64().unwrap();
    assert!((lifetime - 90 * 86_400).abs() <= 1, "{lifetime}");
    let listed = succeeds(&[&["keys", "list"], &data_dir[..]].concat());
    assert!(listed.contains("ci") && listed.contains("until "), "{listed}");
    assert!(!listed.contains(&made["key"].as_str().unwrap()[16..]), "{listed}");
    let listed = succeeds(&[&["keys", "list", "--json"], &data_dir[..]].concat());
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "the first key and this one");

    let (code, message) = fails(&[&["keys", "revoke", "tm-nothing"], &data_dir[..]].concat());
    assert_eq!(
        (code, message.as_str()),
        (2, "tokenmill: there is no key with the id \"nothing\"")
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut command = crate::process::tokenmill(&["config"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
