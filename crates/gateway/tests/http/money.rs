//! Money, limits and the life of models, as callers meet them; and the management API.

use serde_json::{Value, json};
use tokenmill_accounts::{
    ConfiguredModel, CreditKind, CreditRequest, Day, KeyRequest, KeyScope, KeySecret, KeyTerms, ModelEntry,
    Nanos, Period, Price, ProjectLimits, Rates, Scope, TeamChange,
};
use tokenmill_gateway::{MANAGE_ROUTES, Options, ServeOptions};
use tokenmill_inference::InferenceError;

use crate::client::{Call, Reply, read_until};
use crate::scripted::{Scripted, Step, answer, started, text};
use crate::server::{TestServer, eventually};

const MODEL: &str = "test/model";
const OUT_OF_MONEY: &str = "You exceeded your current quota, please check your plan and billing details";

/// One dollar for a million tokens in, two out: 1,000 and 2,000 nano-dollars each.
const PRICE: Price = Price {
    version: 0,
    input: Nanos::dollars(1),
    cached_input: Nanos(500_000_000),
    output: Nanos::dollars(2),
};

async fn priced(upstream: std::sync::Arc<Scripted>, credit: i64) -> TestServer {
    let server = TestServer::start(upstream).await;
    let accounts = &server.accounts;
    accounts
        .set_price("test", MODEL, PRICE, None)
        .await
        .expect("a good price");
    if credit > 0 {
        let request = CreditRequest {
            kind: CreditKind::Purchase,
            amount: Nanos(credit),
            reference: "first".into(),
            note: String::new(),
            expires_at: None,
        };
        accounts
            .add_credit("test", &server.team, &request)
            .await
            .expect("added");
    }
    server
}

/// A key that may change everything.
async fn operator_key(server: &TestServer) -> KeySecret {
    let request = KeyRequest {
        name: "operator".into(),
        terms: KeyTerms {
            scopes: KeyScope::ALL.to_vec(),
            ..KeyTerms::default()
        },
        ..KeyRequest::default()
    };
    let key = server.accounts.create_key("test", &request).await;
    key.expect("made").secret
}

/// Has the configuration file list a model.
async fn configure(server: &TestServer, id: &str) {
    let listed = ConfiguredModel {
        entry: ModelEntry {
            id: id.into(),
            ..ModelEntry::default()
        },
        price: None,
    };
    let configured = server.accounts.configure_models(&[listed]).await;
    configured.expect("a good entry");
}

async fn spent(server: &TestServer) -> i64 {
    server.ledger.flush().await;
    let (balance, _) = server.accounts.credit(&server.team, 1).await.expect("the team");
    balance.spent.0
}

async fn check_ledger(server: &TestServer) {
    server.ledger.flush().await;
    let found = server.accounts.verify().await.expect("readable");
    assert_eq!(found.faults, Vec::<String>::new());
}

fn refused(reply: &Reply) -> (u16, Value) {
    (reply.status, reply.error()["code"].clone())
}

#[tokio::test]
async fn without_prices_everything_is_free_and_counted() {
    let server = TestServer::start(Scripted::saying(&["a", "b"])).await;
    assert_eq!(server.chat(&json!({})).send(server.at).await.status, 200);
    server.ledger.flush().await;
    let found = server.accounts.verify().await.expect("readable");
    assert_eq!((found.n_usage, found.cost, found.n_faults), (1, Nanos(0), 0));
}

#[tokio::test]
async fn what_ran_is_charged_and_the_rest_of_the_hold_comes_back() {
    let server = priced(Scripted::saying(&["a", "b"]), 10_000_000).await;
    // 7 tokens in, 3 of them cached, and 2 out.
    let cost = 4 * 1_000 + 3 * 500 + 2 * 2_000;
    for stream in [false, true] {
        let changes = json!({"max_tokens": 100, "stream": stream});
        assert_eq!(server.chat(&changes).send(server.at).await.status, 200);
    }
    assert_eq!(spent(&server).await, 2 * cost);
    eventually("nothing is open", || server.ledger.n_open() == 0).await;
    check_ledger(&server).await;
}

#[tokio::test]
async fn credit_that_does_not_reach_is_a_402_with_what_would_fit() {
    // Pays for 7 tokens in and 10 out.
    let server = priced(Scripted::saying(&["a"]), 7 * 1_000 + 10 * 2_000 + 1_999).await;
    let reply = server.chat(&json!({"max_tokens": 11})).send(server.at).await;
    assert_eq!(refused(&reply), (402, json!("insufficient_quota")));
    assert_eq!(reply.error()["message"], OUT_OF_MONEY);
    assert_eq!(reply.error()["type"], "insufficient_quota");
    assert_eq!(reply.header("x-affordable-completion-tokens"), Some("10"));
    assert_eq!(
        server
            .chat(&json!({"max_tokens": 10}))
            .send(server.at)
            .await
            .status,
        200
    );
    // Who asks for no number is given what there is.
    assert_eq!(server.chat(&json!({})).send(server.at).await.status, 200);
    check_ledger(&server).await;
    let server = priced(Scripted::saying(&["a"]), 0).await;
    let reply = server.chat(&json!({"stream": true})).send(server.at).await;
    assert_eq!(refused(&reply), (402, json!("insufficient_quota")));
    assert_eq!(reply.header("x-affordable-completion-tokens"), None);
}

#[tokio::test]
async fn a_cap_that_is_reached_is_a_402_of_its_own() {
    let server = priced(Scripted::saying(&["a"]), 1_000_000_000).await;
    let project = format!("{}/inference", server.team);
    let cap = (Scope::Project, project.as_str());
    let set = async |limit: Option<i64>| {
        let set = server
            .accounts
            .set_cap("test", cap, Period::Month, limit.map(Nanos));
        set.await.expect("a good cap");
    };
    set(Some(10_000)).await;
    let call = server.chat(&json!({"max_tokens": 2}));
    let reply = call.send(server.at).await;
    assert_eq!(refused(&reply), (402, json!("spending_cap_reached")));
    assert_eq!(reply.error()["message"], OUT_OF_MONEY);
    set(Some(11_000)).await;
    assert_eq!(call.send(server.at).await.status, 200);
    spent(&server).await;
    assert_eq!(call.send(server.at).await.status, 402, "what was spent counts");
    set(None).await;
    assert_eq!(call.send(server.at).await.status, 200);
    check_ledger(&server).await;
}

#[tokio::test]
async fn a_cap_that_is_lowered_to_what_was_spent_lets_nothing_more_in() {
    let server = priced(Scripted::saying(&["a"]), 1_000_000_000).await;
    let target = format!("{}/inference", server.team);
    let operator = operator_key(&server).await;
    let limit = async |limit_usd: &str| {
        let cap = json!({"scope": "project", "target": target, "period": "month", "limit_usd": limit_usd});
        let call = Call::new("PUT", "/api/v1/caps").key(operator.expose());
        let call = call
            .header("content-type", "application/json")
            .body(cap.to_string());
        assert_eq!(call.send(server.at).await.status, 204);
    };
    limit("1").await;
    let call = server.chat(&json!({"max_tokens": 2}));
    for _ in 0..3 {
        assert_eq!(call.send(server.at).await.status, 200);
    }
    server.ledger.flush().await;
    let caps = server.accounts.caps().await.expect("readable");
    limit(&caps[0].spent.to_string()).await;
    let reply = call.send(server.at).await;
    assert_eq!(refused(&reply), (402, json!("spending_cap_reached")));
    limit("1").await;
    assert_eq!(call.send(server.at).await.status, 200);
    check_ledger(&server).await;
}

#[tokio::test]
async fn failures_cost_nothing_and_leaving_costs_what_ran() {
    let upstream = Scripted::new(|request| match request.stop.first().map(String::as_str) {
        Some("fail") => Ok(vec![
            started(),
            text("x"),
            Step::Fail(InferenceError::Fault("x".into())),
        ]),
        Some("stop") => Ok(vec![started(), text("x"), Step::Stop]),
        Some("full") => Err(InferenceError::Overloaded),
        Some("hang") => Ok(vec![started(), text("x"), text("y"), Step::Hang]),
        _ => Ok(answer(request, &["x"])),
    });
    let server = priced(upstream, 1_000_000_000).await;
    for (stop, status) in [("fail", 500), ("stop", 500), ("full", 503)] {
        let reply = server.chat(&json!({"stop": stop})).send(server.at).await;
        assert_eq!(reply.status, status, "{stop}");
    }
    assert_eq!(spent(&server).await, 0);
    let mut stream = server
        .chat(&json!({"stop": "hang", "stream": true}))
        .open(server.at)
        .await;
    read_until(&mut stream, "\"y\"").await;
    drop(stream);
    eventually("it was given up", || server.ledger.n_open() == 0).await;
    assert_eq!(spent(&server).await, 7 * 1_000 + 2 * 2_000);
    check_ledger(&server).await;
}

#[tokio::test]
async fn many_at_once_never_spend_more_than_there_is() {
    let credit = 1_000_000;
    let server = priced(Scripted::saying(&["a"]), credit).await;
    let call = server.chat(&json!({"max_tokens": 4}));
    let at = server.at;
    let calls = (0..24).map(|_| {
        let call = call.clone();
        tokio::spawn(async move {
            let mut n_good = 0;
            for _ in 0..10 {
                match call.send(at).await.status {
                    200 => n_good += 1,
                    402 => {}
                    other => panic!("{other}"),
                }
            }
            n_good
        })
    });
    let mut n_good = 0;
    for call in calls.collect::<Vec<_>>() {
        n_good += call.await.expect("no panic");
    }
    // What came back from those who ended last is usable, too.
    while call.send(at).await.status == 200 {
        n_good += 1;
    }
    let each = 4 * 1_000 + 3 * 500 + 2_000;
    let spent = spent(&server).await;
    assert_eq!(spent, n_good * each);
    assert!(
        spent <= credit && spent + 7 * 1_000 + 4 * 2_000 > credit,
        "{spent} of {credit}"
    );
    check_ledger(&server).await;
}

#[tokio::test]
async fn a_team_that_is_switched_off_gets_a_403() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let change = TeamChange {
        is_disabled: Some(true),
        ..TeamChange::default()
    };
    server
        .accounts
        .change_team("test", &server.team, &change)
        .await
        .expect("changed");
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(refused(&reply), (403, json!("inference_not_enabled")));
    let message = "The inference gateway is not enabled for your organization";
    assert_eq!(reply.error()["message"], message);
}

#[tokio::test]
async fn a_denied_country_gets_a_403() {
    let options = Options {
        country_header: "cf-ipcountry".into(),
        denied_countries: vec!["XX".into()],
        ..Options::default()
    };
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let call = server.chat(&json!({}));
    let reply = call.clone().header("cf-ipcountry", "xx").send(server.at).await;
    assert_eq!(
        refused(&reply),
        (403, json!("unsupported_country_region_territory"))
    );
    assert_eq!(
        reply.error()["message"],
        "Country, region, or territory not supported"
    );
    assert_eq!(
        call.clone()
            .header("cf-ipcountry", "YY")
            .send(server.at)
            .await
            .status,
        200
    );
    assert_eq!(call.send(server.at).await.status, 200);
}

#[tokio::test]
async fn rates_are_told_and_a_429_says_when() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let limits = ProjectLimits {
        concurrency: Some(3),
        rates: Rates {
            requests_per_minute: Some(2),
            tokens_per_minute: Some(1_000),
        },
    };
    let limited = server
        .accounts
        .limit_project("test", &server.team, "inference", limits);
    limited.await.expect("limited");
    let call = server.chat(&json!({}));
    let reply = call.send(server.at).await;
    assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(reply.header("x-ratelimit-limit-tokens"), Some("1000"));
    assert_eq!(reply.header("x-ratelimit-limit-concurrency"), Some("3"));
    call.send(server.at).await;
    let reply = call.send(server.at).await;
    assert_eq!(refused(&reply), (429, json!("request_rate_limit_reached")));
    let wait: u64 = reply
        .header("retry-after")
        .expect("told")
        .parse()
        .expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_key_is_good_for_what_it_says() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let ask = async |terms: KeyTerms| {
        let request = KeyRequest {
            name: "narrow".into(),
            terms,
            ..KeyRequest::default()
        };
        let key = server.accounts.create_key("test", &request).await.expect("made");
        let call = server
            .chat(&json!({}))
            .without("authorization")
            .key(key.secret.expose());
        call.send(server.at).await
    };
    let terms = KeyTerms::default;
    assert_eq!(ask(terms()).await.status, 200);
    let scopes = vec![KeyScope::ReadModels];
    let reply = ask(KeyTerms { scopes, ..terms() }).await;
    assert_eq!(refused(&reply), (401, json!("scope_not_granted")));
    let networks = |text: &str| Some(vec![text.parse().expect("a network")]);
    let here = KeyTerms {
        allowed_networks: networks("127.0.0.0/8"),
        ..terms()
    };
    assert_eq!(ask(here).await.status, 200);
    let elsewhere = KeyTerms {
        allowed_networks: networks("203.0.113.0/24"),
        ..terms()
    };
    assert_eq!(
        refused(&ask(elsewhere).await),
        (401, json!("network_not_allowed"))
    );
    let other = KeyTerms {
        allowed_models: Some(vec!["other".into()]),
        ..terms()
    };
    assert_eq!(refused(&ask(other).await), (404, json!("model_not_found")));
}

#[tokio::test]
async fn a_model_on_its_way_out_says_so_and_then_is_gone() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let now = server.accounts.now();
    let day = |days: i64| {
        let millis = now.as_millis() + days * 86_400_000;
        Day::of(tokenmill_accounts::Timestamp::from_millis(millis))
    };
    let entry = |from: i64, until: i64| ModelEntry {
        id: MODEL.into(),
        deprecated_from: Some(day(from)),
        retired_from: Some(day(until)),
        replacement: Some("other".into()),
        ..ModelEntry::default()
    };
    server
        .accounts
        .set_model("test", &entry(-1, 20))
        .await
        .expect("a good entry");
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(reply.status, 200);
    let begun = format!("@{}", day(-1).begins().as_secs());
    assert_eq!(reply.header("deprecation"), Some(begun.as_str()));
    assert!(
        reply
            .header("sunset")
            .is_some_and(|sunset| sunset.ends_with("00:00:00 GMT"))
    );
    let link = "</v1/models/other>; rel=\"successor-version\"";
    assert_eq!(reply.header("link"), Some(link));
    server
        .accounts
        .set_model("test", &entry(-20, -1))
        .await
        .expect("a good entry");
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(refused(&reply), (404, json!("model_retired")));
    assert_eq!(reply.error()["message"], "The requested resource was not found");
    assert_eq!(reply.error()["replacement"], "other");
    assert_eq!(reply.header("link"), Some(link));
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams_on_demand() {
    let upstream = Scripted::new(|request| {
        let mut steps = vec![started()];
        steps.extend((0..3_000).map(|_| text("x")));
        steps.extend(answer(request, &[]).into_iter().skip(1));
        Ok(steps)
    });
    let server = TestServer::start(upstream).await;
    let request = KeyRequest {
        name: "leaked".into(),
        ..KeyRequest::default()
    };
    let key = server.accounts.create_key("test", &request).await.expect("made");
    let rotated = server
        .accounts
        .rotate_key("test", key.secret.id(), std::time::Duration::from_secs(60));
    let rotated = rotated.await.expect("rotated");
    for secret in [&key.secret, &rotated] {
        let call = server
            .chat(&json!({}))
            .without("authorization")
            .key(secret.expose());
        assert_eq!(call.send(server.at).await.status, 200, "both secrets work");
    }
    server
        .accounts
        .revoke_key("test", rotated.id(), true)
        .await
        .expect("revoked");
    let call = server
        .chat(&json!({}))
        .without("authorization")
        .key(rotated.expose());
    assert_eq!(
        refused(&call.send(server.at).await),
        (401, json!("revoked_api_key"))
    );
    assert!(!server.accounts.may_go_on(rotated.id()).await.expect("readable"));
}

#[tokio::test]
async fn management_needs_its_scope_and_an_operator() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for route in MANAGE_ROUTES {
        let path = route
            .path
            .replace("{team}", &server.team)
            .replace("{id}", "nothing");
        let path = path
            .replace("{project}", "inference")
            .replace("{person}", "nobody")
            .replace("{name}", "nothing")
            .replace("{version}", "v0")
            .replace("{alias}", "latest");
        let method = route.operations[0].method;
        let call = Call::new(method, &path)
            .header("content-type", "application/json")
            .body("{}");
        assert_eq!(call.send(server.at).await.status, 401, "{path}: no key");
        let reply = call.key(&server.key).send(server.at).await;
        let is_readable = ["/credit", "/usage", "/models", "/caps"]
            .iter()
            .any(|end| route.path == format!("/api/v1/teams/{{team}}{end}"));
        // Whoever may ask models may see the adapters of their team.
        let is_adapters = method == "GET" && route.path.starts_with("/api/v1/artifacts/{team}");
        let expected = match route.path {
            "/api/v1/artifacts/{team}" => 200,
            _ if is_adapters => 404,
            _ if is_readable => 200,
            _ => 401,
        };
        assert_eq!(reply.status, expected, "{path}: {}", reply.text());
    }
}

/// Calls that make a team with a project, and those beside them that are refused.
fn making_a_team() -> Vec<(&'static str, &'static str, Value, u16)> {
    vec![
        (
            "POST",
            "/api/v1/teams",
            json!({"name": "acme", "tier": "pro"}),
            200,
        ),
        ("POST", "/api/v1/teams", json!({"name": "acme"}), 409),
        ("POST", "/api/v1/teams", json!({"nmae": "x"}), 400),
        (
            "PUT",
            "/api/v1/teams/acme/members/ann",
            json!({"role": "admin"}),
            204,
        ),
        (
            "PUT",
            "/api/v1/teams/nobody/members/ann",
            json!({"role": "admin"}),
            404,
        ),
        ("POST", "/api/v1/teams/acme/projects", json!({"name": "bot"}), 200),
    ]
}

/// Calls that give it prices, credit, a cap and a catalogue.
fn giving_it_money() -> Vec<(&'static str, &'static str, Value, u16)> {
    vec![
        (
            "PUT",
            "/api/v1/teams/acme/projects/bot/limits",
            json!({"concurrency": 2}),
            204,
        ),
        (
            "POST",
            "/api/v1/prices",
            json!({"model": MODEL, "input_usd": "1", "output_usd": "2"}),
            200,
        ),
        (
            "POST",
            "/api/v1/prices",
            json!({"model": MODEL, "input_usd": 1, "output_usd": "2"}),
            400,
        ),
        (
            "POST",
            "/api/v1/teams/acme/credit",
            json!({"kind": "purchase", "amount_usd": "5", "reference": "invoice 1"}),
            204,
        ),
        (
            "PUT",
            "/api/v1/caps",
            json!({"scope": "project", "target": "acme/bot", "period": "month", "limit_usd": "1"}),
            204,
        ),
        (
            "PUT",
            "/api/v1/models",
            json!({"id": MODEL, "title": "Test"}),
            204,
        ),
        (
            "PUT",
            "/api/v1/models",
            json!({"id": "in/the-file", "title": "Test"}),
            409,
        ),
    ]
}

#[tokio::test]
async fn a_team_is_managed_from_its_making_to_its_bill() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let admin = operator_key(&server).await;
    let ask = async |method: &str, path: &str, body: Value| {
        let mut call = Call::new(method, path).key(admin.expose());
        if !body.is_null() {
            call = call
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        call.send(server.at).await
    };
    configure(&server, "in/the-file").await;
    for (method, path, body, status) in [making_a_team(), giving_it_money()].concat() {
        let reply = ask(method, path, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    let key = ask("POST", "/api/v1/keys", json!({"name": "bot", "person": "ann"}))
        .await
        .json();
    let call = server
        .chat(&json!({}))
        .without("authorization")
        .key(key["key"].as_str().expect("shown"));
    let call = call.header("openai-project", "acme/bot");
    assert_eq!(call.send(server.at).await.status, 200);
    server.ledger.flush().await;
    let credit = ask("GET", "/api/v1/teams/acme/credit", Value::Null).await.json();
    assert_eq!(
        (&credit["credit_usd"], &credit["spent_usd"]),
        (&json!("5.00"), &json!("0.000009"))
    );
    let usage = ask("GET", "/api/v1/teams/acme/usage?by=project,model", Value::Null)
        .await
        .json();
    assert_eq!(usage["data"][0]["project"], "bot");
    assert_eq!(usage["data"][0]["prompt_tokens"], 7);
    let csv = ask("GET", "/api/v1/teams/acme/usage?by=model&format=csv", Value::Null).await;
    assert!(csv.text().starts_with("model,requests,"), "{}", csv.text());
    let audit = ask("GET", "/api/v1/audit", Value::Null).await.json();
    assert!(audit["data"].as_array().expect("a list").len() >= 9);
    let found = ask("GET", "/api/v1/ledger/verify", Value::Null).await.json();
    assert_eq!(found["faults"], json!([]));
    assert_eq!(
        ask(
            "DELETE",
            &format!("/api/v1/keys/{}", key["id"].as_str().expect("an id")),
            Value::Null
        )
        .await
        .status,
        200
    );
    assert_eq!(call.send(server.at).await.status, 401);
}
