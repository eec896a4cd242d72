//! `tokenmill serve`.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::http;
use crate::process::{Server, chat_body, fails, run, succeeds};

#[test]
fn the_first_start_prints_a_key_and_a_curl_line_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let models = server.get("/v1/models", Some(&server.key()));
    assert_eq!(models.status, 200);
    assert_eq!(models.json()["data"][0]["id"], "tokenmill/demo");

    let (_, pasted) = server.banner.split_once("Try it:").unwrap();
    assert!(pasted.contains(&server.key()));
    let curl = Command::new("sh").args(["-c", pasted.trim()]).output().unwrap();
    if curl.status.code() == Some(127) {
        eprintln!("curl is not installed; its line was not tried");
        return;
    }
    let answer: serde_json::Value = serde_json::from_slice(&curl.stdout).expect("curl prints the answer");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());
}

#[test]
fn a_second_start_keeps_the_key_and_does_not_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), &[]);
    let key = first.key();
    first.signal("TERM");
    assert!(first.wait().0.success());

    let second = Server::start(dir.path(), &[]);
    assert!(!second.banner.contains("tm-"), "{}", second.banner);
    assert!(
        second.banner.contains("tokenmill keys create --data-dir"),
        "{}",
        second.banner
    );
    assert_eq!(second.get("/v1/models", Some(&key)).status, 200);
}

#[test]
fn the_catalogue_of_the_config_file_holds_from_the_start_and_a_changed_one_from_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let file = dir.path().join("tokenmill.toml");
    let path = file.to_str().unwrap();
    for input_usd in ["0.25", "0.5"] {
        let entry = "[[catalogue]]\nid = 'tokenmill/demo'\n[catalogue.price]\noutput_usd = '1'\n";
        std::fs::write(&file, format!("{entry}input_usd = '{input_usd}'\n")).unwrap();
        let server = Server::start(dir.path(), &["--config", path]);
        let prices = succeeds(&["price", "list", "--data-dir", data_dir]);
        assert!(prices.contains(input_usd), "{prices}");
        let price = ["price", "set", "tokenmill/demo", "--input", "3", "--output", "3"];
        let (_, refused) = fails(&[&price[..], &["--data-dir", data_dir]].concat());
        assert!(refused.contains("is set in the configuration file"), "{refused}");
        server.signal("TERM");
        assert!(server.wait().0.success());
    }
}

#[test]
fn a_killed_server_keeps_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let key = server.key();
    let data_dir = dir.path().to_str().unwrap();
    let made = succeeds(&["keys", "create", "--data-dir", data_dir]);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    for key in [key.as_str(), made.trim()] {
        assert_eq!(server.get("/v1/models", Some(key)).status, 200);
    }
}

#[test]
fn a_server_killed_before_its_key_was_read_leaves_a_usable_state() {
    for n_lines_read in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().to_str().unwrap();
        if n_lines_read > 0 {
            Server::start(dir.path(), &[]).kill();
        }
        let key = succeeds(&["keys", "create", "--data-dir", data_dir]);
        let server = Server::start(dir.path(), &[]);
        assert_eq!(server.get("/v1/models", Some(key.trim())).status, 200);
    }
}

#[test]
fn keys_made_and_revoked_in_another_process_count_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let server = Server::start(dir.path(), &[]);
    let key = succeeds(&["keys", "create", "--name", "laptop", "--data-dir", data_dir]);
    let key = key.trim();
    assert_eq!(server.get("/v1/models", Some(key)).status, 200);
    assert!(succeeds(&["keys", "list", "--data-dir", data_dir]).contains("laptop"));

    succeeds(&["keys", "revoke", key, "--data-dir", data_dir]);
    let refused = server.get("/v1/models", Some(key));
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["code"], "revoked_api_key");
    assert!(succeeds(&["keys", "list", "--data-dir", data_dir]).contains("revoked"));
}

#[test]
fn a_busy_port_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data_dir = dir.path().to_str().unwrap();
    let (code, message) = fails(&["serve", "--listen", &address, "--data-dir", data_dir]);
    assert_eq!(code, 1);
    assert!(
        message.starts_with(&format!(
            "tokenmill: another program listens on {address} already"
        )),
        "{message}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "no key was made that nobody saw"
    );
}

#[test]
fn a_bad_config_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenmill.toml");
    std::fs::write(&path, "[engine]\nmax_runnning = 3\n").unwrap();
    let path = path.to_str().unwrap();
    let (code, message) = fails(&["serve", "--config", path]);
    assert_eq!(code, 2);
    let fault = "unknown option `engine.max_runnning`; did you mean `engine.max_running`?";
    assert_eq!(message, format!("tokenmill: {path}:2: {fault}"));
}

#[test]
fn an_unreadable_model_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let no_model = dir.path().join("noise.gguf");
    std::fs::write(&no_model, [1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    let no_model = no_model.to_str().unwrap();
    let serve = |model: &str| {
        fails(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data_dir,
            "--model",
            model,
            "--log-level",
            "off",
        ])
    };

    let (code, message) = serve(no_model);
    assert_eq!(code, 1);
    assert!(message.contains("noise.gguf"), "{message}");
    let (code, message) = serve("/nowhere/model.gguf");
    assert_eq!(code, 1);
    assert!(
        message.contains("no file or folder /nowhere/model.gguf"),
        "{message}"
    );
    assert!(
        !std::path::Path::new(data_dir).exists(),
        "no key was made that nobody saw"
    );
}

#[test]
fn a_signal_lets_a_stream_finish_and_refuses_new_requests() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let key = server.key();
    let long = json!({"stream": true, "ignore_eos": true, "max_tokens": 150});
    let mut stream = server.chat(&key, &chat_body("Tell me a story.", &long));
    assert_eq!(stream.status, 200);
    let mut text = stream.chunk().expect("the stream has begun");

    server.signal("TERM");
    // The signal is noticed at some moment; from then on, new requests are refused and the stream goes on.
    while server.get("/ready", None).status == 200 {}
    let refused = server.chat(&key, &chat_body("Hello", &json!({})));
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "shutting_down");

    while let Some(chunk) = stream.chunk() {
        text.push_str(&chunk);
    }
    assert!(
        text.trim_end().ends_with("data: [DONE]"),
        "the stream came to its end: {text}"
    );
    let address = server.address;
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(
        http::request(address, "/health", None, None).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn a_stream_that_does_not_finish_in_time_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--drain", "0s"]);
    // So many choices that they are not done in the second that last bytes are given.
    let endless = json!({"stream": true, "ignore_eos": true, "n": 16, "temperature": 2});
    let mut stream = server.chat(&server.key(), &chat_body("Tell me a story.", &endless));
    let mut text = stream.chunk().expect("the stream has begun");
    server.signal("INT");
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));
    while let Some(chunk) = stream.chunk() {
        text.push_str(&chunk);
    }
    assert!(
        !text.contains("[DONE]"),
        "a cut stream does not say that it is complete"
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--drain", "1h"]);
    let endless = json!({"stream": true, "ignore_eos": true});
    let mut stream = server.chat(&server.key(), &chat_body("Tell me a story.", &endless));
    stream.chunk().expect("the stream has begun");
    server.signal("TERM");
    while server.get("/ready", None).status == 200 {}
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(143));
}

#[test]
fn a_model_of_ones_own_is_served_under_its_name() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tokenmill-demo.gguf");
    let dir = tempfile::tempdir().unwrap();
    let named = format!("acme/chat={model}");
    let server = Server::start(
        dir.path(),
        &["--model", model, "--model", &named, "--context", "256"],
    );
    let models = server.get("/v1/models", Some(&server.key())).json();
    let models = models["data"].as_array().unwrap();
    let ids: Vec<_> = models.iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["acme/chat", "tokenmill-demo"]);
    assert_eq!(models[0]["context_window"], 256);
}

#[test]
fn no_secret_and_no_word_of_a_conversation_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let data_dir = dir.path().join("data");
    let mut command =
        crate::process::tokenmill(&["serve", "--listen", "127.0.0.1:0", "--log-level", "trace"]);
    command.args(["--data-dir", data_dir.to_str().unwrap()]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let server = Server::from_command(command);
    let key = server.key();
    let answer = server.chat(
        &key,
        &chat_body("Xylophones are quiet", &json!({"max_tokens": 8})),
    );
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let said = answer["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    server.signal("TERM");
    assert!(server.wait().0.success());

    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("ready") && log.contains("draining"), "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .expect("each line is JSON where no terminal reads it");
    }
    assert!(!log.contains(&key[16..]), "the key is in the log");
    assert!(!log.contains("Xylophones"), "the prompt is in the log");
    assert!(
        said.trim().is_empty() || !log.contains(said.trim()),
        "the answer is in the log"
    );
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let output = run(&["serve", "--no-such-flag"]);
    assert_eq!(output.status.code(), Some(2));
    let (code, message) = fails(&["serve", "--max-running", "0"]);
    assert_eq!(
        (code, message.as_str()),
        (2, "tokenmill: --max-running: must be from 1 to 4096, and is 0")
    );
}
