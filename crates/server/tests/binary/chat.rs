//! `tokenmill chat`, with its input from a pipe.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::process::{fails, tokenmill};

fn chat(args: &[&str], input: &str) -> Output {
    let mut command = tokenmill(&[&["chat", "--kv-bytes", "64 MiB"], args].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A program that has failed already reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it was started")
}

#[test]
fn each_line_of_a_pipe_is_answered() {
    let output = chat(
        &["--seed", "7", "--max-tokens", "40"],
        "Hello!\n\nTell me a joke.\n",
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answers = String::from_utf8(output.stdout).unwrap();
    assert!(answers.trim().lines().count() >= 2, "{answers}");
    assert_eq!(output.stderr, b"", "nothing but the answers");
}

#[test]
fn the_same_seed_and_turns_give_the_same_answers() {
    let answer = || chat(&["--seed", "3", "--max-tokens", "20"], "Tell me a story.\n").stdout;
    assert_eq!(answer(), answer());
}

#[test]
fn what_cannot_be_answered_fails() {
    let output = chat(&["--temperature", "3"], "Hello!\n");
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("'temperature' must be from 0 to 2"), "{message}");
    assert_eq!(fails(&["chat", "/nowhere/model.gguf"]).0, 1);
}
