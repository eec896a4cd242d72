//! An ID token: whether it is good, and whom it names.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::Fault;

const MAX_TOKEN_BYTES: usize = 64 << 10;
const MAX_SUBJECT_BYTES: usize = 255;
/// How far the provider's clock may be from ours.
const LEEWAY_S: u64 = 60;

/// What must stand in a token.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The claim that says whether the mail address was verified.
    pub(super) verified_claim: &'a str,
}

/// Whom a good token names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) subject: String,
    /// Only where it was verified.
    pub(crate) mail: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// One client, or several; that this server is one of them is for the library to see.
    aud: Value,
    azp: Option<String>,
    nonce: Option<String>,
    email: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Checks a token as OpenID Connect Core 1.0 has it in 3.1.3.7.
pub(super) fn read_id_token(token: &str, key: &Jwk, expected: &Expected<'_>) -> Result<Identified, Fault> {
    let bad = |fault: &str| Fault::BadToken(fault.to_owned());
    if token.len() > MAX_TOKEN_BYTES {
        return Err(bad("it is too long"));
    }
    let library = |error: jsonwebtoken::errors::Error| Fault::BadToken(error.to_string());
    let decoding_key = DecodingKey::from_jwk(key).map_err(library)?;
    let token = decode::<Claims>(token, &decoding_key, &validation(key, expected)).map_err(library)?;
    if token.header.crit.is_some() {
        return Err(bad("it has a critical header that is not known here"));
    }
    let claims = token.claims;
    // The library also takes lists of issuers.
    if claims.iss != expected.issuer {
        return Err(bad("its issuer is another"));
    }
    let is_for_several = claims.aud.as_array().is_some_and(|all| all.len() > 1);
    match &claims.azp {
        Some(party) if party != expected.client_id => return Err(bad("it was made for another client")),
        None if is_for_several => {
            return Err(bad("it is for several clients, and names none that asked for it"));
        }
        _ => {}
    }
    let nonce = claims.nonce.as_deref().unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(bad("its nonce is another"));
    }
    if claims.sub.is_empty() || claims.sub.len() > MAX_SUBJECT_BYTES {
        return Err(bad("its subject has no length that a subject has"));
    }
    let is_verified = claims.others.get(expected.verified_claim).is_some_and(is_true);
    Ok(Identified {
        subject: claims.sub,
        mail: claims.email.filter(|_| is_verified),
    })
}

fn validation(key: &Jwk, expected: &Expected<'_>) -> Validation {
    let mut validation = Validation {
        algorithms: algorithms(key),
        leeway: LEEWAY_S,
        validate_nbf: true,
        ..Validation::default()
    };
    validation.set_audience(&[expected.client_id]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    validation
}

/// What a key can have signed with. Shared secrets are none of them: whoever can read one can sign.
fn algorithms(key: &Jwk) -> Vec<Algorithm> {
    let all: &[Algorithm] = match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        _ => &[],
    };
    // A key that names its algorithm is for no other.
    let named = key.common.key_algorithm;
    let is_named = |algorithm: &&Algorithm| named.is_none_or(|named| named == (**algorithm).into());
    all.iter().filter(is_named).copied().collect()
}

/// Whether a token may be signed with this key.
pub(super) fn is_for_signatures(key: &Jwk) -> bool {
    let is_for_another_use = matches!(&key.common.public_key_use, Some(of) if *of != PublicKeyUse::Signature);
    !is_for_another_use && !algorithms(key).is_empty()
}

/// Providers write it as a switch, as a text and as a number.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text == "true" || text == "1",
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_plain_yes_makes_an_address_verified() {
        for yes in [json!(true), json!("true"), json!("1"), json!(1)] {
            assert!(is_true(&yes), "{yes}");
        }
        for no in [
            json!(false),
            json!("false"),
            json!("yes"),
            json!(0),
            json!(2),
            json!(null),
            json!([true]),
            json!({}),
        ] {
            assert!(!is_true(&no), "{no}");
        }
    }

    #[test]
    fn a_key_signs_with_what_it_is_made_for() {
        let key = |fields: Value| serde_json::from_value::<Jwk>(fields).unwrap();
        let rsa = key(json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}));
        assert_eq!(algorithms(&rsa).len(), 6);
        let named = key(json!({"kty": "RSA", "alg": "RS256", "n": "AQAB", "e": "AQAB"}));
        assert_eq!(algorithms(&named), [Algorithm::RS256]);
        for unfit in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "RSA", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AQAB", "y": "AQAB"}),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AQAB"}),
        ] {
            assert!(!is_for_signatures(&key(unfit.clone())), "{unfit}");
        }
    }
}
