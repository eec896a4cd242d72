//! What is kept for one caller alone: it can be read only with the credential that it was kept under, which is not here.
//! Whoever has the database, or even the server's secret as well, reads nothing.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::secret::ServerSecret;
use crate::store::StoreError;

const NONCE_BYTES: usize = 24;

/// A key for one thing that is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seal([u8; 32]);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// The seal of the thing that `name` names, for whoever has `credential`. A credential has 256 random bits, so nothing
    /// slow has to be made of it.
    pub(crate) fn new(secret: &ServerSecret, credential: &str, name: &[&str]) -> Seal {
        let parts: Vec<&[u8]> = std::iter::once(&credential)
            .chain(name)
            .map(|part| part.as_bytes())
            .collect();
        Seal(secret.derive("tokenmill seal v1\0", &parts))
    }

    /// `content`, sealed. `label` stays readable beside it, and cannot be exchanged.
    pub(crate) fn close(&self, content: &[u8], label: &str) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), with_label(content, label));
        let sealed = sealed.map_err(|_| StoreError::decode("an answer is too long to be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was sealed under the same label; `None` where it was changed, or is of another seal.
    pub(crate) fn open(&self, sealed: &[u8], label: &str) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self
            .cipher()
            .decrypt(&XNonce::from(*nonce), with_label(sealed, label));
        opened.ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

fn with_label<'a>(content: &'a [u8], label: &'a str) -> Payload<'a, 'a> {
    Payload {
        msg: content,
        aad: label.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_credential_name_and_label_open_it() {
        let secret = ServerSecret::from_bytes([7; 32]);
        let seal = Seal::new(&secret, "key", &["p", "k"]);
        let sealed = seal.close(b"an answer", "text").unwrap();
        assert_eq!(seal.open(&sealed, "text").unwrap(), b"an answer");
        assert!(!sealed.windows(6).any(|window| window == b"answer"));
        assert_ne!(sealed, seal.close(b"an answer", "text").unwrap());
        assert_eq!(seal.open(&sealed, "json"), None);
        for (credential, name) in [("yek", ["p", "k"]), ("key", ["pk", ""]), ("key", ["p", "l"])] {
            assert_eq!(Seal::new(&secret, credential, &name).open(&sealed, "text"), None);
        }
        for idx in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[idx] ^= 1;
            assert_eq!(seal.open(&changed, "text"), None, "byte {idx}");
            assert_eq!(seal.open(&sealed[..idx], "text"), None);
        }
        assert_eq!(format!("{seal:?}"), "Seal(…)");
    }
}
