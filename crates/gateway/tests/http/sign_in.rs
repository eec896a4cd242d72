//! Signing in with an identity provider, through a small real one on this machine.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokenmill_accounts::Newcomers;
use tokenmill_gateway::{ClientSecret, IdentityProvider, Options, ServeOptions, VERIFIED_CLAIM};

use crate::client::{Call, Reply};
use crate::identity_provider::{CLIENT_ID, CLIENT_SECRET, Returned, Signing, SigningKey, TestProvider};
use crate::scripted::Scripted;
use crate::server::{TestServer, eventually};

const AT_CORP: &str = "/api/v1/session/providers/corp";

fn corp(issuer: &str) -> IdentityProvider {
    IdentityProvider {
        id: "corp".to_owned(),
        label: "Corp account".to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(ClientSecret::new(CLIENT_SECRET.to_owned())),
        scopes: vec!["email".to_owned()],
        allowed_domains: Vec::new(),
        verified_claim: VERIFIED_CLAIM.to_owned(),
        newcomers: Newcomers::Refused,
    }
}

async fn server_with(identity_providers: Vec<IdentityProvider>) -> TestServer {
    let options = Options {
        public_url: "http://mill.example/".to_owned(),
        identity_providers,
        ..Options::default()
    };
    TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await
}

/// A server with one provider, and ann, who has an address there.
async fn started() -> (TestServer, TestProvider) {
    let provider = TestProvider::start().await;
    let server = server_with(vec![corp(&provider.issuer)]).await;
    add_ann(&server).await;
    (server, provider)
}

async fn add_ann(server: &TestServer) {
    let accounts = &server.accounts;
    let added = accounts.add_member("test", "default", "ann", false).await;
    added.expect("added");
    let set = accounts.set_mail("test", "ann", Some("ann@corp.example")).await;
    set.expect("set");
}

fn from_the_page(method: &str, path: &str, body: &Value) -> Call {
    Call::new(method, path)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// The cookie of this name that an answer sets.
fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie");
    assert!(set.contains("; Path=/; HttpOnly; SameSite=Strict; "), "{set}");
    set.split(';').next().unwrap_or_default().to_owned()
}

/// Presses the button: where the browser goes, and its cookie.
async fn begin(server: &TestServer) -> (String, String) {
    let body = json!({"next": "/console/usage?by=key"});
    let reply = from_the_page("POST", AT_CORP, &body).send(server.at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let location = reply.json()["location"].as_str().expect("an address").to_owned();
    (location, cookie(&reply))
}

/// Hands in what the browser came back with.
async fn finish(server: &TestServer, returned: &Returned, cookie: &str) -> Reply {
    let body = json!({"code": returned.code, "state": returned.state});
    let call = from_the_page("PUT", AT_CORP, &body).header("cookie", cookie);
    call.send(server.at).await
}

/// The whole way.
async fn sign_in(server: &TestServer, provider: &TestProvider) -> Reply {
    let (location, cookie) = begin(server).await;
    finish(server, &provider.visit(&location), &cookie).await
}

/// Who the session of an answer belongs to.
async fn person_of(server: &TestServer, reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    // The last of the two cookies is the attempt's, taken away; the session's is read from the raw list.
    let session = reply.cookies.iter().find(|set| set.starts_with("tokenmill="));
    let session = session.and_then(|set| set.split(';').next()).expect("a session");
    let me = from_the_page("GET", "/api/v1/me", &json!({})).header("cookie", session);
    me.send(server.at).await.json()
}

fn code_of(reply: &Reply) -> (u16, String) {
    let code = reply.error()["code"].as_str().unwrap_or_default().to_owned();
    (reply.status, code)
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn whoever_the_provider_vouches_for_is_signed_in() {
    let (server, provider) = started().await;
    let state = Call::new("GET", "/api/v1/session").send(server.at).await.json();
    assert_eq!(
        state,
        json!({"person": null, "providers": [{"id": "corp", "label": "Corp account"}]})
    );
    let reply = sign_in(&server, &provider).await;
    assert_eq!(reply.json(), json!({"next": "/console/usage?by=key"}));
    let taken_away = reply
        .cookies
        .iter()
        .find(|set| set.starts_with("tokenmill-sign-in="));
    assert!(
        taken_away.is_some_and(|set| set.starts_with("tokenmill-sign-in=;") && set.contains("Max-Age=0"))
    );
    let me = person_of(&server, &reply).await;
    assert_eq!(
        (&me["person"], &me["mail"]),
        (&json!("ann"), &json!("ann@corp.example"))
    );
    assert_eq!(me["identities"][0]["provider"], "Corp account");
    // A second time with the other ways of signing and of showing who asks, and an address that has changed.
    provider.behaviour().description =
        json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    provider.behaviour().claims =
        json!({"email": "new@corp.example", "aud": [CLIENT_ID, "other"], "azp": CLIENT_ID});
    provider.rotate(SigningKey::rsa(), "rsa");
    let other = server_with(vec![corp(&provider.issuer)]).await;
    add_ann(&other).await;
    let set = other
        .accounts
        .set_mail("test", "ann", Some("new@corp.example"))
        .await;
    set.expect("set");
    let reply = sign_in(&other, &provider).await;
    assert_eq!(person_of(&other, &reply).await["person"], "ann");
    provider.behaviour().description = json!({});
    let reply = sign_in(&server, &provider).await;
    assert_eq!(
        person_of(&server, &reply).await["person"],
        "ann",
        "by the subject"
    );
}

#[tokio::test]
async fn a_token_with_anything_wrong_lets_nobody_in() {
    let (server, provider) = started().await;
    let right = json!({});
    for (what, claims, signing) in [
        ("another nonce", json!({"nonce": "other"}), Signing::Right),
        ("no nonce", json!({"nonce": null}), Signing::Right),
        ("another audience", json!({"aud": "other"}), Signing::Right),
        ("no audience", json!({"aud": null}), Signing::Right),
        (
            "several audiences and nobody who asked",
            json!({"aud": [CLIENT_ID, "other"]}),
            Signing::Right,
        ),
        ("another party", json!({"azp": "other"}), Signing::Right),
        (
            "another issuer",
            json!({"iss": "https://evil.example"}),
            Signing::Right,
        ),
        (
            "several issuers",
            json!({"iss": [provider.issuer, "https://evil.example"]}),
            Signing::Right,
        ),
        ("no issuer", json!({"iss": null}), Signing::Right),
        ("expired", json!({"exp": 1_700_000_000}), Signing::Right),
        ("no end", json!({"exp": null}), Signing::Right),
        ("not yet good", json!({"nbf": 4_000_000_000_u64}), Signing::Right),
        ("no subject", json!({"sub": null}), Signing::Right),
        ("an empty subject", json!({"sub": ""}), Signing::Right),
        ("another key", right.clone(), Signing::WithAnotherKey),
        ("no signature", right.clone(), Signing::AlgNone),
        ("a shared secret", right.clone(), Signing::WithThePublicKey),
    ] {
        provider.behaviour().claims = claims;
        provider.behaviour().signing = signing;
        let reply = sign_in(&server, &provider).await;
        assert_eq!(code_of(&reply), refusal(403, "sign_in_not_verified"), "{what}");
        assert!(reply.cookies.is_empty(), "{what}");
    }
    provider.behaviour().claims = right;
    provider.behaviour().signing = Signing::Right;
    assert_eq!(sign_in(&server, &provider).await.status, 200);
}

#[tokio::test]
async fn only_a_verified_address_of_somebody_here_is_let_in() {
    let (server, provider) = started().await;
    for (claims, code) in [
        (json!({"email_verified": false}), "mail_not_verified"),
        (json!({"email_verified": null}), "mail_not_verified"),
        (json!({"email": null}), "mail_not_verified"),
        (json!({"email": "eve@corp.example"}), "person_unknown"),
    ] {
        provider.behaviour().claims = claims.clone();
        let reply = sign_in(&server, &provider).await;
        assert_eq!(code_of(&reply), refusal(403, code), "{claims}");
    }
    provider.behaviour().claims = json!({});
    assert_eq!(sign_in(&server, &provider).await.status, 200);
    provider.behaviour().claims = json!({"sub": "subject-2"});
    let second = sign_in(&server, &provider).await;
    assert_eq!(code_of(&second), refusal(403, "mail_linked_already"));
    provider.behaviour().claims = json!({});
    let removed = server.accounts.remove_member("test", "default", "ann").await;
    removed.expect("removed");
    let out = sign_in(&server, &provider).await;
    assert_eq!(code_of(&out), refusal(403, "person_removed"));
}

#[tokio::test]
async fn domains_newcomers_and_the_name_of_the_verified_claim_are_the_operators_choice() {
    let provider = TestProvider::start().await;
    let join = IdentityProvider {
        allowed_domains: vec!["Corp.Example".to_owned()],
        verified_claim: "xms_edov".to_owned(),
        newcomers: Newcomers::Join {
            team: "default".to_owned(),
            is_admin: false,
        },
        ..corp(&provider.issuer)
    };
    let server = server_with(vec![join]).await;
    assert_eq!(
        code_of(&sign_in(&server, &provider).await),
        refusal(403, "mail_not_verified"),
        "email_verified is not the claim that counts here"
    );
    for mail in [
        "eve@evil.example",
        "eve@evil.corp.example",
        "corp.example@evil.example",
    ] {
        provider.behaviour().claims = json!({"xms_edov": true, "email": mail});
        let reply = sign_in(&server, &provider).await;
        assert_eq!(code_of(&reply), refusal(403, "mail_domain_not_allowed"), "{mail}");
    }
    provider.behaviour().claims = json!({"xms_edov": "1"});
    let me = person_of(&server, &sign_in(&server, &provider).await).await;
    assert_eq!((&me["person"], &me["operator"]), (&json!("ann"), &json!(false)));
    assert_eq!(
        (&me["teams"][0]["name"], &me["teams"][0]["role"]),
        (&json!("default"), &json!("member"))
    );
}

#[tokio::test]
async fn a_sign_in_is_finished_once_by_the_browser_that_began_it() {
    let (server, provider) = started().await;
    let lost = refusal(400, "sign_in_lost");
    let (location, cookie) = begin(&server).await;
    let returned = provider.visit(&location);
    let (_, others) = begin(&server).await;
    let forged = Returned {
        state: "forged".to_owned(),
        ..returned.clone()
    };
    assert_eq!(
        code_of(&finish(&server, &returned, "a=b").await),
        lost,
        "no cookie"
    );
    assert_eq!(
        code_of(&finish(&server, &returned, &others).await),
        lost,
        "another browser's"
    );
    assert_eq!(
        code_of(&finish(&server, &forged, &cookie).await),
        lost,
        "another state"
    );
    let both = format!("{cookie}; {others}");
    assert_eq!(
        code_of(&finish(&server, &returned, &both).await),
        lost,
        "two of one name"
    );
    assert_eq!(finish(&server, &returned, &cookie).await.status, 200);
    assert_eq!(
        code_of(&finish(&server, &returned, &cookie).await),
        lost,
        "once more"
    );

    // A code that somebody else was given, in a sign-in of one's own: the provider sees another PKCE secret.
    let (theirs, _) = begin(&server).await;
    let (mine, cookie) = begin(&server).await;
    let injected = Returned {
        code: provider.visit(&theirs).code,
        ..provider.visit(&mine)
    };
    let reply = finish(&server, &injected, &cookie).await;
    assert_eq!(code_of(&reply), refusal(403, "sign_in_refused"));

    // From another site, or with the word of another issuer.
    let (location, cookie) = begin(&server).await;
    let returned = provider.visit(&location);
    let body = json!({"code": returned.code, "state": returned.state, "iss": "https://evil.example"});
    let call = from_the_page("PUT", AT_CORP, &body).header("cookie", &cookie);
    let foreign = call
        .clone()
        .without("sec-fetch-site")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(
        code_of(&foreign.send(server.at).await),
        refusal(403, "cross_site_request")
    );
    assert_eq!(
        code_of(&call.send(server.at).await),
        refusal(403, "sign_in_not_verified")
    );
}

#[tokio::test]
async fn a_sign_in_leads_nowhere_else() {
    let (server, _provider) = started().await;
    for next in [
        "//evil.example",
        "https://evil.example/console/",
        "/console\\evil",
        "/api/v1/me",
    ] {
        let reply = from_the_page("POST", AT_CORP, &json!({"next": next}))
            .send(server.at)
            .await;
        assert_eq!(
            (reply.status, &reply.error()["param"]),
            (400, &json!("next")),
            "{next}"
        );
    }
    let unknown = from_the_page(
        "POST",
        "/api/v1/session/providers/other",
        &json!({"next": "/console/"}),
    );
    assert_eq!(code_of(&unknown.send(server.at).await), refusal(404, "not_found"));
}

#[tokio::test]
async fn a_code_of_one_provider_is_no_good_at_another() {
    let (one, two) = (TestProvider::start().await, TestProvider::start().await);
    let login = IdentityProvider {
        id: "login".to_owned(),
        ..corp(&two.issuer)
    };
    let server = server_with(vec![corp(&one.issuer), login]).await;
    add_ann(&server).await;
    let (location, cookie) = begin(&server).await;
    let returned = one.visit(&location);
    let body = json!({"code": returned.code, "state": returned.state});
    let call = from_the_page("PUT", "/api/v1/session/providers/login", &body).header("cookie", &cookie);
    assert_eq!(code_of(&call.send(server.at).await), refusal(400, "sign_in_lost"));
    // Both vouch for the same person.
    assert_eq!(finish(&server, &returned, &cookie).await.status, 200);
    let begun = from_the_page(
        "POST",
        "/api/v1/session/providers/login",
        &json!({"next": "/docs"}),
    );
    let begun = begun.send(server.at).await;
    let returned = two.visit(begun.json()["location"].as_str().expect("an address"));
    let body = json!({"code": returned.code, "state": returned.state, "iss": two.issuer});
    let call = from_the_page("PUT", "/api/v1/session/providers/login", &body)
        .header("cookie", &self::cookie(&begun));
    let me = person_of(&server, &call.send(server.at).await).await;
    assert_eq!(me["person"], "ann");
    assert_eq!(me["identities"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn new_keys_are_found_and_not_asked_for_without_end() {
    let (server, provider) = started().await;
    assert_eq!(sign_in(&server, &provider).await.status, 200);
    assert_eq!(sign_in(&server, &provider).await.status, 200);
    assert_eq!(provider.behaviour().n_key_requests, 1, "kept");
    provider.rotate(SigningKey::rsa(), "second");
    assert_eq!(sign_in(&server, &provider).await.status, 200);
    assert_eq!(provider.behaviour().n_key_requests, 2);
    provider.rotate(SigningKey::ec(), "third");
    for _ in 0..5 {
        let reply = sign_in(&server, &provider).await;
        assert_eq!(code_of(&reply), refusal(403, "sign_in_not_verified"));
    }
    assert_eq!(provider.behaviour().n_key_requests, 2, "not again so soon");
}

#[tokio::test]
async fn without_the_provider_a_password_still_signs_in() {
    let (server, provider) = started().await;
    let (location, cookie) = begin(&server).await;
    let returned = provider.visit(&location);
    let at = provider.gone().await;
    let gone = finish(&server, &returned, &cookie).await;
    assert_eq!(code_of(&gone), refusal(503, "identity_provider_unavailable"));
    assert_eq!(
        gone.error()["message"],
        "Corp account cannot be reached just now; try again later, or sign in with your password"
    );
    let fresh = server_with(vec![corp(&format!("http://{at}/realm"))]).await;
    let press = || from_the_page("POST", AT_CORP, &json!({"next": "/console/"}));
    assert_eq!(
        code_of(&press().send(fresh.at).await),
        refusal(503, "identity_provider_unavailable")
    );
    let (_, token) = fresh
        .accounts
        .first_invitation()
        .await
        .expect("readable")
        .expect("one");
    let body = json!({"token": token.expose(), "password": "correct horse"});
    let accepted = from_the_page("PUT", "/api/v1/session/invitation", &body)
        .send(fresh.at)
        .await;
    assert_eq!(accepted.status, 204);
    let body = json!({"person": "admin", "password": "correct horse"});
    assert_eq!(
        from_the_page("POST", "/api/v1/session", &body)
            .send(fresh.at)
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn a_provider_that_is_not_what_it_should_be_is_not_used() {
    for description in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": "http://evil.example/token"}),
        json!({"authorization_endpoint": null}),
        json!({"jwks_uri": "nonsense"}),
    ] {
        let (server, provider) = started().await;
        provider.behaviour().description = description.clone();
        let reply = from_the_page("POST", AT_CORP, &json!({"next": "/console/"}))
            .send(server.at)
            .await;
        assert_eq!(
            code_of(&reply),
            refusal(503, "identity_provider_unavailable"),
            "{description}"
        );
    }
}

#[tokio::test]
async fn refused_codes_from_one_place_are_limited() {
    let (server, provider) = started().await;
    let bogus = async || {
        let (location, cookie) = begin(&server).await;
        let returned = Returned {
            code: "bogus".to_owned(),
            ..provider.visit(&location)
        };
        finish(&server, &returned, &cookie).await
    };
    for _ in 0..30 {
        assert_eq!(code_of(&bogus().await), refusal(403, "sign_in_refused"));
    }
    let waits = bogus().await;
    assert_eq!(code_of(&waits), refusal(429, "too_many_tries"));
    assert!(waits.header("retry-after").is_some());
}

/// Everything that is logged, in a text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_what_went_wrong_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (server, provider) = started().await;
    let (location, cookie) = begin(&server).await;
    let returned = provider.visit(&location);
    assert_eq!(finish(&server, &returned, &cookie).await.status, 200);
    provider.behaviour().claims = json!({"nonce": "other"});
    let text = || String::from_utf8_lossy(&log.0.lock().expect("unpoisoned")).into_owned();
    let is_logged = || text().contains("its nonce is another");
    // The thread of another test, in which nobody listens, may just have switched the message off.
    for _ in 0..100 {
        tracing::callsite::rebuild_interest_cache();
        assert_eq!(sign_in(&server, &provider).await.status, 403);
        if is_logged() {
            break;
        }
    }
    eventually("the fault is logged", is_logged).await;
    let text = text();
    let token = cookie.split_once('=').map(|(_, value)| value).unwrap_or_default();
    let token = token.split('.').next().unwrap_or_default();
    for secret in [
        CLIENT_SECRET,
        "s3cret",
        &returned.code,
        &returned.state,
        token,
        "eyJ",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let shown = format!("{:?}", corp(&provider.issuer));
    assert!(
        shown.contains("ClientSecret(…)") && !shown.contains("s3cret"),
        "{shown}"
    );
}
