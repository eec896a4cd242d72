//! A small identity provider on a socket of its own: discovery, keys, and a token endpoint that checks what a client sends.
//! It signs with keys of its own, and can be told to do each thing wrong that a provider, or who poses as one, may do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

pub(crate) const CLIENT_ID: &str = "tokenmill";
/// With characters that must be encoded on their way.
pub(crate) const CLIENT_SECRET: &str = "s3cret: 100%";

pub(crate) enum SigningKey {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    pub(crate) fn ec() -> SigningKey {
        SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("random"))
    }

    pub(crate) fn rsa() -> SigningKey {
        SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("random"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            SigningKey::Ec(_) => "ES256",
            SigningKey::Rsa(_) => "RS256",
        }
    }

    fn public(&self, kid: &str) -> Value {
        match self {
            SigningKey::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": encode(x), "y": encode(y)})
            }
            SigningKey::Rsa(key) => {
                let public = key.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero().to_vec();
                let exponent = public.exponent().big_endian_without_leading_zero().to_vec();
                json!({"kty": "RSA", "alg": "RS256", "kid": kid, "n": encode(modulus), "e": encode(exponent)})
            }
        }
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            SigningKey::Ec(key) => key
                .sign(&random, text.as_bytes())
                .expect("signed")
                .as_ref()
                .to_vec(),
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .expect("signed");
                signature
            }
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How a token is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Right,
    /// With a key that only calls itself the provider's.
    WithAnotherKey,
    /// Not at all, and it says so.
    AlgNone,
    /// With the public key, taken for a shared secret.
    WithThePublicKey,
}

/// What was asked for where the browser was sent.
struct Grant {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

/// What the provider does, which a test may change.
pub(crate) struct Behaviour {
    /// Laid over the claims of the next tokens; `null` takes one out.
    pub(crate) claims: Value,
    pub(crate) signing: Signing,
    /// Laid over the description.
    pub(crate) description: Value,
    pub(crate) n_key_requests: u32,
    key: SigningKey,
    kid: String,
    grants: HashMap<String, Grant>,
}

pub(crate) struct TestProvider {
    pub(crate) at: SocketAddr,
    pub(crate) issuer: String,
    behaviour: Arc<Mutex<Behaviour>>,
    serving: JoinHandle<()>,
}

/// What a browser comes back with.
#[derive(Clone, Debug)]
pub(crate) struct Returned {
    pub(crate) code: String,
    pub(crate) state: String,
}

#[derive(Clone)]
struct Shared {
    issuer: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl TestProvider {
    pub(crate) async fn start() -> TestProvider {
        TestProvider::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(crate) async fn start_at(at: SocketAddr) -> TestProvider {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let issuer = format!("http://{at}/realm");
        let behaviour = Behaviour {
            claims: json!({}),
            signing: Signing::Right,
            description: json!({}),
            n_key_requests: 0,
            key: SigningKey::ec(),
            kid: "first".to_owned(),
            grants: HashMap::new(),
        };
        let shared = Shared {
            issuer: issuer.clone(),
            behaviour: Arc::new(Mutex::new(behaviour)),
        };
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(description))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(token))
            .with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        TestProvider {
            at,
            issuer,
            behaviour: shared.behaviour,
            serving,
        }
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().expect("no test panics with it")
    }

    /// It signs with another key from now on, and knows the old one no more.
    pub(crate) fn rotate(&self, key: SigningKey, kid: &str) {
        let mut behaviour = self.behaviour();
        behaviour.key = key;
        behaviour.kid = kid.to_owned();
    }

    /// What somebody does in their browser: they sign in where they were sent, and are sent back.
    pub(crate) fn visit(&self, location: &str) -> Returned {
        let url = Url::parse(location).expect("a URL");
        assert_eq!(url.path(), "/realm/authorize");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let [state, nonce, challenge, redirect_uri] =
            ["state", "nonce", "code_challenge", "redirect_uri"].map(|name| asked[name].clone());
        let fixed =
            ["response_type", "client_id", "scope", "code_challenge_method"].map(|name| asked[name].as_str());
        assert_eq!(fixed, ["code", CLIENT_ID, "openid email", "S256"]);
        let code = encode(Sha256::digest(&state));
        let grant = Grant {
            nonce,
            challenge,
            redirect_uri,
        };
        self.behaviour().grants.insert(code.clone(), grant);
        Returned { code, state }
    }

    /// Nobody answers at its address any more.
    pub(crate) async fn gone(self) -> SocketAddr {
        self.serving.abort();
        let _ = self.serving.await;
        self.at
    }
}

async fn description(State(shared): State<Shared>) -> Json<Value> {
    let issuer = &shared.issuer;
    let mut description = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
    });
    let behaviour = shared.behaviour.lock().expect("no test panics with it");
    lay_over(&mut description, &behaviour.description);
    Json(description)
}

async fn keys(State(shared): State<Shared>) -> Json<Value> {
    let mut behaviour = shared.behaviour.lock().expect("no test panics with it");
    behaviour.n_key_requests += 1;
    // Keys of other kinds lie beside it.
    let others = [
        json!({"kty": "RSA", "use": "enc", "kid": behaviour.kid, "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AQAB"}),
    ];
    let [one, two] = others;
    Json(json!({"keys": [one, two, behaviour.key.public(&behaviour.kid)]}))
}

type Answer = (StatusCode, Json<Value>);

async fn token(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Answer {
    let refuse = |code: &str| {
        let told = json!({"error": code, "error_description": "of no use to anybody"});
        (StatusCode::BAD_REQUEST, Json(told))
    };
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let mut behaviour = shared.behaviour.lock().expect("no test panics with it");
    if !is_client(&headers, &form, &behaviour.description) {
        return refuse("invalid_client");
    }
    // A code is good for one try.
    let Some(grant) = behaviour.grants.remove(field("code")) else {
        return refuse("invalid_grant");
    };
    let is_verified = encode(Sha256::digest(field("code_verifier"))) == grant.challenge;
    if field("grant_type") != "authorization_code"
        || field("redirect_uri") != grant.redirect_uri
        || !is_verified
    {
        return refuse("invalid_grant");
    }
    let id_token = signed(&behaviour, &shared.issuer, &grant.nonce);
    let answer = json!({"access_token": "unused", "token_type": "Bearer", "id_token": id_token});
    (StatusCode::OK, Json(answer))
}

/// Whether the client's secret stands where the description says: in the header, or in the form.
fn is_client(headers: &HeaderMap, form: &HashMap<String, String>, description: &Value) -> bool {
    let methods = &description["token_endpoint_auth_methods_supported"];
    if methods == &json!(["client_secret_post"]) {
        let secret = form.get("client_secret").map(String::as_str);
        return !headers.contains_key("authorization") && secret == Some(CLIENT_SECRET);
    }
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let Some(encoded) = header.and_then(|header| header.strip_prefix("Basic ")) else {
        return false;
    };
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    !form.contains_key("client_secret") && decoded == "tokenmill:s3cret%3A+100%25"
}

fn lay_over(base: &mut Value, changes: &Value) {
    let fields = base.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
}

fn signed(behaviour: &Behaviour, issuer: &str, nonce: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let mut claims = json!({
        "iss": issuer, "aud": CLIENT_ID, "sub": "subject-1", "nonce": nonce, "iat": now, "exp": now + 300,
        "email": "ann@corp.example", "email_verified": true,
    });
    lay_over(&mut claims, &behaviour.claims);
    let algorithm = match behaviour.signing {
        Signing::AlgNone => "none",
        Signing::WithThePublicKey => "HS256",
        _ => behaviour.key.algorithm(),
    };
    let header = json!({"alg": algorithm, "kid": behaviour.kid, "typ": "JWT"});
    let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = match behaviour.signing {
        Signing::Right => behaviour.key.sign(&text),
        Signing::WithAnotherKey => SigningKey::ec().sign(&text),
        Signing::AlgNone => Vec::new(),
        Signing::WithThePublicKey => {
            let public = behaviour.key.public(&behaviour.kid).to_string();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
            aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
        }
    };
    format!("{text}.{}", encode(signature))
}
