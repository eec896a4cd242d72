//! The console's page and files, and what a session may do.

use serde_json::json;
use tokenmill_gateway::MANAGE_ROUTES;

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

/// A session of somebody who is a member of no team but `blue`, which they administer.
async fn signed_in_to_blue(server: &TestServer) -> String {
    let accounts = &server.accounts;
    let made = accounts
        .create_team("test", "blue", tokenmill_accounts::Tier::Free)
        .await;
    made.expect("made");
    accounts
        .add_member("test", "blue", "cal", true)
        .await
        .expect("added");
    let token = accounts.invite("test", "cal").await.expect("invited");
    let reply = accept(token.expose(), "correct horse").send(server.at).await;
    cookie_of(&reply)
}

/// A route's path with a team, an id, and names of what `default` has.
fn filled(path: &str, team: &str, id: &str) -> String {
    let parts = [
        ("{team}", team),
        ("{id}", id),
        ("{project}", "inference"),
        ("{person}", "admin"),
        ("{name}", "secret-style"),
        ("{version}", "v0"),
        ("{alias}", "latest"),
    ];
    parts
        .iter()
        .fold(path.to_owned(), |path, (part, value)| path.replace(part, value))
}

#[tokio::test]
async fn no_route_tells_one_team_of_another() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let owner = signed_in(&server).await;
    let made = async |path: &str, body: serde_json::Value| {
        let call = from_the_page("POST", path, &body).header("cookie", &owner);
        let made = call.send(server.at).await.json();
        made["id"].as_str().expect("an id").to_owned()
    };
    let saved = json!({"kind": "chat", "name": "secret of default", "body": {"panes": []}});
    let saved = made("/api/v1/teams/default/saved", saved).await;
    let key = made("/api/v1/keys", json!({"name": "secret key"})).await;
    server.keep_adapter("default", "secret-style").await;
    let cal = signed_in_to_blue(&server).await;
    let mut n_tried = 0;
    for route in MANAGE_ROUTES {
        let id = if route.path.contains("/keys/") {
            &key
        } else {
            &saved
        };
        for team in ["default", "blue"] {
            let path = filled(route.path, team, id);
            // Their own team's pages are theirs; another's id or person under them is not.
            let is_own = team == "blue"
                && !route.path.contains("{id}")
                && !route.path.ends_with("/invitation")
                && !route.path.ends_with("/mail");
            for operation in route.operations {
                let is_personal = matches!(route.path, "/api/v1/me" | "/api/v1/keys");
                if is_own && (route.path.contains("{team}") || is_personal) {
                    continue;
                }
                let call = from_the_page(operation.method, &path, &json!({})).header("cookie", &cal);
                let reply = call.send(server.at).await;
                let what = format!("{} {path}: {} {}", operation.method, reply.status, reply.text());
                // Nobody else's name is asked for there; what comes back is looked at all the same.
                let is_refused = matches!(reply.status, 401 | 403 | 404);
                assert!(is_refused || (is_personal && !is_own), "{what}");
                let told = reply.text();
                assert!(
                    !told.contains("secret") && !told.contains("\"person\":\"admin\""),
                    "{what}"
                );
                n_tried += 1;
            }
        }
    }
    assert!(n_tried >= MANAGE_ROUTES.len(), "{n_tried}");
    all_is_still_there(&server, &owner, &saved, &key).await;
}

async fn all_is_still_there(server: &TestServer, owner: &str, saved: &str, key: &str) {
    assert_eq!(
        server
            .gateway
            .artifacts()
            .list("default")
            .await
            .expect("readable")
            .len(),
        1
    );
    let path = format!("/api/v1/teams/default/saved/{saved}");
    let reply = from_the_page("GET", &path, &json!({}))
        .header("cookie", owner)
        .send(server.at)
        .await;
    assert_eq!(reply.status, 200);
    let key = server
        .accounts
        .key_info(key)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!((key.revoked_at, key.name.as_str()), (None, "secret key"));
}

/// Changes one after the other, and what the key's next request gets.
fn changes_of_a_key() -> Vec<(serde_json::Value, u16)> {
    vec![
        (json!({"name": "robot"}), 200),
        (json!({"allowed_models": ["other/model"]}), 404),
        (json!({"allowed_models": null}), 200),
        (json!({"allowed_networks": ["203.0.113.0/24"]}), 401),
        (
            json!({"allowed_networks": ["203.0.113.0/24", "127.0.0.0/8"]}),
            200,
        ),
        (json!({"scopes": ["models:read"]}), 401),
        (json!({"scopes": ["models:read", "inference"]}), 200),
        (json!({"expires_in_s": 0}), 401),
        (json!({"expires_in_s": null}), 200),
        // Tokens are counted when an answer ends: the request after it is the first to be refused.
        (json!({"tokens_per_minute": 1}), 200),
        (json!({"name": "robot"}), 429),
        (
            json!({"tokens_per_minute": null, "requests_per_minute": 1000}),
            200,
        ),
    ]
}

#[tokio::test]
async fn a_key_is_changed_after_it_was_made() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let owner = signed_in(&server).await;
    let ask = async |cookie: &str, method, path: &str, body: serde_json::Value| {
        from_the_page(method, path, &body)
            .header("cookie", cookie)
            .send(server.at)
            .await
    };
    let made = ask(
        &owner,
        "POST",
        "/api/v1/keys",
        json!({"name": "bot", "expires_in_s": 3600}),
    )
    .await
    .json();
    let (path, secret) = (
        format!("/api/v1/keys/{}", made["id"].as_str().expect("an id")),
        made["key"].as_str().expect("shown").to_owned(),
    );
    let chat = async || {
        server
            .chat(&json!({}))
            .without("authorization")
            .key(&secret)
            .send(server.at)
            .await
            .status
    };
    for (change, then) in changes_of_a_key() {
        let reply = ask(&owner, "PATCH", &path, change.clone()).await;
        assert_eq!(reply.status, 200, "{change}: {}", reply.text());
        assert_eq!(chat().await, then, "{change}");
    }
    let now = ask(&owner, "PATCH", &path, json!({})).await.json();
    assert_eq!(now["name"], "robot");
    assert_eq!(now["allowed_networks"], json!(["203.0.113.0/24", "127.0.0.0/8"]));
    assert_eq!(
        (&now["requests_per_minute"], &now["expires_at"]),
        (&json!(1000), &json!(null))
    );
    let audit = ask(&owner, "GET", "/api/v1/audit", json!({})).await;
    let audit = audit.text();
    assert_eq!(audit.matches("\"key.change\"").count(), 12, "{audit}");
}

#[tokio::test]
async fn an_operator_changes_a_keys_cap_with_the_key_and_nobody_else_does() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let owner = signed_in(&server).await;
    let ask = async |cookie: &str, method, path: &str, body: serde_json::Value| {
        let call = from_the_page(method, path, &body).header("cookie", cookie);
        call.send(server.at).await
    };
    let made = ask(&owner, "POST", "/api/v1/keys", json!({"name": "bot"}))
        .await
        .json();
    let path = format!("/api/v1/keys/{}", made["id"].as_str().expect("an id"));
    let capped = json!({"name": "robot", "monthly_cap_usd": "1.5"});
    assert_eq!(ask(&owner, "PATCH", &path, capped.clone()).await.status, 200);
    let caps = ask(&owner, "GET", "/api/v1/caps", json!({})).await.json();
    let cap = caps["data"]
        .as_array()
        .expect("caps")
        .iter()
        .find(|cap| cap["scope"] == "key");
    let cap = cap.expect("the key's");
    assert_eq!((&cap["target"], &cap["limit_usd"]), (&made["id"], &json!("1.50")));
    let cal = signed_in_to_blue(&server).await;
    let own = ask(&cal, "POST", "/api/v1/keys", json!({"name": "own"}))
        .await
        .json();
    let own = format!("/api/v1/keys/{}", own["id"].as_str().expect("an id"));
    let reply = ask(&cal, "PATCH", &own, capped).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (403, &json!("not_permitted"))
    );
}

#[tokio::test]
async fn what_cannot_be_changed_about_a_key_is_refused() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let owner = signed_in(&server).await;
    let ask = async |cookie: &str, method, path: &str, body: serde_json::Value| {
        let call = from_the_page(method, path, &body).header("cookie", cookie);
        call.send(server.at).await
    };
    let made = ask(&owner, "POST", "/api/v1/keys", json!({"name": "bot"}))
        .await
        .json();
    let path = format!("/api/v1/keys/{}", made["id"].as_str().expect("an id"));
    for bad in [
        json!({"name": ""}),
        json!({"scopes": []}),
        json!({"scopes": ["all"]}),
        json!({"allowed_models": []}),
        json!({"allowed_networks": ["somewhere"]}),
        json!({"requests_per_minute": -1}),
        json!({"person": "cal"}),
    ] {
        assert_eq!(
            ask(&owner, "PATCH", &path, bad.clone()).await.status,
            400,
            "{bad}"
        );
    }
    let keys = ask(&owner, "GET", "/api/v1/keys", json!({})).await.json();
    let own = keys["data"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["console"] == true);
    let own = format!(
        "/api/v1/keys/{}",
        own.expect("one")["id"].as_str().expect("an id")
    );
    let fixed = ask(&owner, "PATCH", &own, json!({"scopes": ["inference"]})).await;
    assert_eq!(
        (fixed.status, &fixed.error()["code"]),
        (400, &json!("key_cannot_be_changed"))
    );
    let cal = signed_in_to_blue(&server).await;
    assert_eq!(
        ask(&cal, "PATCH", &path, json!({"scopes": ["admin"]}))
            .await
            .status,
        404
    );
    assert_eq!(ask(&owner, "DELETE", &path, json!({})).await.status, 200);
    let revoked = ask(&owner, "PATCH", &path, json!({"expires_in_s": null})).await;
    assert_eq!(revoked.error()["code"], "key_cannot_be_changed");
}
