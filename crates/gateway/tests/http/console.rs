//! The console's page and files, and what a session may do.

use serde_json::json;

use crate::client::{Call, Reply};
use crate::scripted::Scripted;
use crate::server::{CHAT, TestServer};

/// A call as the console's own page makes it.
fn from_the_page(method: &str, path: &str, body: &serde_json::Value) -> Call {
    Call::new(method, path)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Accepts the first invitation; the cookie of the session.
async fn signed_in(server: &TestServer) -> String {
    let invited = server.accounts.first_invitation().await.expect("readable");
    let (person, token) = invited.expect("nobody has a password yet");
    assert_eq!(person.name, "admin");
    let body = json!({"token": token.expose(), "password": "correct horse"});
    let reply = from_the_page("PUT", "/api/v1/session/invitation", &body);
    let reply = reply.send(server.at).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    cookie_of(&reply)
}

fn cookie_of(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_page_is_served_under_a_strict_policy() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for path in ["/console/", "/console/models/a/b", "/docs/http.md"] {
        let page = Call::new("GET", path).send(server.at).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = page.text();
        let src = text
            .split("src=\"")
            .find(|part| part.contains("/main.js\""))
            .expect("main.js");
        let asset = src.split('"').next().expect("its path");
        let plain = Call::new("GET", asset).send(server.at).await;
        assert_eq!(
            plain.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        let caching = plain.header("cache-control").expect("caching");
        assert_eq!(caching, "public, max-age=31536000, immutable");
        let packed = Call::new("GET", asset)
            .header("accept-encoding", "br, gzip")
            .send(server.at)
            .await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < plain.body.len());
    }
    for path in [
        "/console/assets/x/nothing.js",
        "/console/assets/x/../../Cargo.toml",
    ] {
        let reply = Call::new("GET", path).send(server.at).await;
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_session_asks_and_pays_as_its_person() {
    let server = TestServer::start(Scripted::saying(&["hello"])).await;
    let cookie = signed_in(&server).await;
    let call =
        |method, path, body: serde_json::Value| from_the_page(method, path, &body).header("cookie", &cookie);
    let me = call("GET", "/api/v1/me", json!({})).send(server.at).await.json();
    assert_eq!((&me["person"], &me["operator"]), (&json!("admin"), &json!(true)));
    let chat = json!({"model": "test/model", "messages": [{"role": "user", "content": "x"}]});
    let answer = call("POST", CHAT, chat.clone())
        .header("openai-project", "default/inference")
        .send(server.at)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = call("POST", CHAT, chat)
        .header("openai-project", "other/inference")
        .send(server.at)
        .await;
    assert_eq!(other.error()["code"], "team_not_accessible");
    let keys = call("GET", "/api/v1/keys", json!({}))
        .send(server.at)
        .await
        .json();
    let own = keys["data"].as_array().expect("a list").iter();
    assert_eq!(own.filter(|key| key["console"] == json!(true)).count(), 1);
    assert_eq!(
        call("DELETE", "/api/v1/session", json!({}))
            .send(server.at)
            .await
            .status,
        204
    );
    let over = call("GET", "/api/v1/me", json!({})).send(server.at).await;
    assert_eq!(
        (over.status, &over.error()["code"]),
        (401, &json!("session_over"))
    );
}

#[tokio::test]
async fn a_cookie_is_no_good_from_another_site() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let cookie = signed_in(&server).await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("accept", "*/*"),
    ] {
        for path in ["/api/v1/me", "/v1/models"] {
            let call = Call::new("GET", path)
                .header("cookie", &cookie)
                .header(name, value);
            let reply = call.send(server.at).await;
            let code = reply.error()["code"].clone();
            assert_eq!(
                (reply.status, code),
                (403, json!("cross_site_request")),
                "{path} {value}"
            );
        }
        let call = Call::new("DELETE", "/api/v1/session").header("cookie", &cookie);
        assert_eq!(call.header(name, value).send(server.at).await.status, 403);
    }
    // A key beside it is what counts.
    let call = Call::new("GET", "/v1/models")
        .key(&server.key)
        .header("cookie", &cookie);
    assert_eq!(call.send(server.at).await.status, 200);
}

fn accept(token: &str, password: &str) -> Call {
    let body = json!({"token": token, "password": password});
    from_the_page("PUT", "/api/v1/session/invitation", &body)
}

fn sign_in(password: &str) -> Call {
    let body = json!({"person": "admin", "password": password});
    from_the_page("POST", "/api/v1/session", &body)
}

#[tokio::test]
async fn an_invitation_works_once() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let invited = async || server.accounts.first_invitation().await.expect("readable");
    let (_, token) = invited().await.expect("nobody has a password");
    let (_, later) = invited().await.expect("nobody has a password");
    let void = accept(token.expose(), "correct horse").send(server.at).await;
    assert_eq!(
        void.error()["code"],
        "invalid_invitation",
        "a later one makes it void"
    );
    let short = accept(later.expose(), "short").send(server.at).await;
    assert_eq!((short.status, &short.error()["param"]), (400, &json!("password")));
    let accepted = accept(later.expose(), "correct horse").send(server.at).await;
    assert_eq!(accepted.status, 204);
    let again = accept(later.expose(), "correct horse").send(server.at).await;
    assert_eq!(again.error()["code"], "invalid_invitation");
    assert!(invited().await.is_none());
}

#[tokio::test]
async fn a_new_password_ends_other_sessions_and_wrong_ones_cost_a_wait() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let first = signed_in(&server).await;
    let wrong = sign_in("wrong horse").send(server.at).await;
    assert_eq!(
        (wrong.status, &wrong.error()["code"]),
        (401, &json!("wrong_password"))
    );
    let second = cookie_of(&sign_in("correct horse").send(server.at).await);
    assert_ne!(first, second);
    let change = json!({"current": "correct horse", "password": "battery staple"});
    let changed = from_the_page("PUT", "/api/v1/session/password", &change).header("cookie", &second);
    let third = cookie_of(&changed.send(server.at).await);
    for (cookie, status) in [(first, 401), (second, 401), (third, 200)] {
        let call = from_the_page("GET", "/api/v1/me", &json!({})).header("cookie", &cookie);
        assert_eq!(call.send(server.at).await.status, status);
    }
    for _ in 0..6 {
        sign_in("wrong horse").send(server.at).await;
    }
    let waits = sign_in("battery staple").send(server.at).await;
    assert_eq!(
        (waits.status, &waits.error()["code"]),
        (429, &json!("too_many_tries"))
    );
    assert!(waits.header("retry-after").is_some());
}
