//! Where callers come from, by a country database that is written here, in MaxMind's format
//! (<https://maxmind.github.io/MaxMind-DB/>).

use std::io::Write;

use serde_json::json;
use tempfile::NamedTempFile;
use tokenmill_accounts::{KeyRequest, KeyTerms};
use tokenmill_gateway::{Options, ServeOptions};

use crate::scripted::Scripted;
use crate::server::TestServer;

/// Values of the data section, by the kinds that it needs.
fn text(text: &str) -> Vec<u8> {
    [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
}

fn byte(number: u8) -> Vec<u8> {
    vec![5 << 5 | 1, number]
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, Vec<u8>)| [text(key), value.clone()].concat();
    let head = [7 << 5 | entries.len() as u8];
    head.into_iter().chain(entries.iter().flat_map(entry)).collect()
}

/// A database of version 4 addresses: the first byte of each decides.
fn database(countries: &[(u8, &str)]) -> NamedTempFile {
    // Eight levels of nodes for each first byte: a plain array of 255 inner nodes, whose last level leads to data.
    const N_NODES: u32 = 255;
    let mut data = Vec::new();
    let mut pointers = [N_NODES; 256];
    for (first, code) in countries {
        pointers[usize::from(*first)] = N_NODES + 16 + data.len() as u32;
        data.extend(map(&[("country", map(&[("iso_code", text(code))]))]));
    }
    let mut tree = Vec::new();
    for node in 1..=N_NODES {
        for child in [2 * node, 2 * node + 1] {
            // Nodes are numbered from 0 as in a heap; the leaves are the first bytes in order.
            let record = if child > N_NODES {
                pointers[(child - 256) as usize]
            } else {
                child - 1
            };
            tree.extend(&record.to_be_bytes()[1..]);
        }
    }
    let metadata = map(&[
        ("node_count", vec![6 << 5 | 1, N_NODES as u8]),
        ("record_size", byte(24)),
        ("ip_version", byte(4)),
        ("database_type", text("Test-Country")),
        ("languages", vec![0, 4]),
        ("binary_format_major_version", byte(2)),
        ("binary_format_minor_version", vec![5 << 5]),
        ("build_epoch", vec![1, 2, 1]),
        ("description", vec![7 << 5]),
    ]);
    let mut file = NamedTempFile::new().expect("a file");
    for part in [&tree[..], &[0; 16], &data, b"\xab\xcd\xefMaxMind.com", &metadata] {
        file.write_all(part).expect("a disk");
    }
    file
}

fn options(file: &NamedTempFile) -> Options {
    Options {
        country_database: file.path().to_string_lossy().into_owned(),
        denied_countries: vec!["XX".into()],
        trusted_proxies: vec!["127.0.0.1".into()],
        ..Options::default()
    }
}

#[tokio::test]
async fn callers_from_a_denied_country_are_refused_wherever_a_proxy_stands() {
    let file = database(&[(203, "XX"), (198, "YY")]);
    let server =
        TestServer::start_with(Scripted::saying(&["x"]), options(&file), ServeOptions::default()).await;
    let from = async |addresses: &str| {
        let call = server.chat(&json!({})).header("x-forwarded-for", addresses);
        call.send(server.at).await
    };
    let refused = from("203.0.113.9").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.error()["code"], "unsupported_country_region_territory");
    assert_eq!(
        refused.error()["message"],
        "Country, region, or territory not supported"
    );
    for good in [
        "198.51.100.7",
        "203.0.113.9, 198.51.100.7",
        "192.0.2.1",
        "2001:4860::8",
    ] {
        assert_eq!(from(good).await.status, 200, "{good}");
    }
    assert_eq!(
        server.chat(&json!({})).send(server.at).await.status,
        200,
        "from here"
    );
}

#[tokio::test]
async fn what_a_stranger_says_of_its_origin_does_not_count() {
    let file = database(&[(127, "XX"), (198, "YY")]);
    let mut options = options(&file);
    options.trusted_proxies.clear();
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let call = server.chat(&json!({})).header("x-forwarded-for", "198.51.100.7");
    assert_eq!(call.send(server.at).await.status, 403);
}

#[tokio::test]
async fn a_header_that_tells_the_country_comes_before_the_database() {
    let file = database(&[(203, "XX")]);
    let options = Options {
        country_header: "x-country".into(),
        ..options(&file)
    };
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let call = server.chat(&json!({})).header("x-forwarded-for", "203.0.113.9");
    assert_eq!(
        call.clone()
            .header("x-country", "YY")
            .send(server.at)
            .await
            .status,
        200
    );
    assert_eq!(call.send(server.at).await.status, 403, "the proxy did not know");
}

#[tokio::test]
async fn a_keys_networks_are_those_behind_the_proxy() {
    let options = Options {
        trusted_proxies: vec!["127.0.0.1".into()],
        ..Options::default()
    };
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let request = KeyRequest {
        name: "office".into(),
        terms: KeyTerms {
            allowed_networks: Some(vec!["198.51.100.0/24".parse().expect("a network")]),
            ..KeyTerms::default()
        },
        ..KeyRequest::default()
    };
    let key = server.accounts.create_key("test", &request).await.expect("made");
    let call = server
        .chat(&json!({}))
        .without("authorization")
        .key(key.secret.expose());
    let from = async |address: &str| {
        call.clone()
            .header("x-forwarded-for", address)
            .send(server.at)
            .await
    };
    assert_eq!(from("198.51.100.7").await.status, 200);
    assert_eq!(from("203.0.113.9").await.error()["code"], "network_not_allowed");
    assert_eq!(call.send(server.at).await.error()["code"], "network_not_allowed");
}
