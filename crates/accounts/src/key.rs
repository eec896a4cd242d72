//! What a key looks like, how it is made, and what is kept of it.
//!
//! ```text
//! tm-9fK2mQ0aXb7Z-kd83...43 characters...Q1x4VbT09
//!    `---id-----' `-------secret--------'`check'
//! ```
//!
//! The id is public and finds the row; the secret has 256 bits; the check is a CRC-32 of all that
//! stands before it, so that a mistyped key, or a scanner's false find, is told apart without a
//! look-up. A high-entropy secret needs no slow hash: what is stored is its HMAC under the server's
//! secret.

use std::fmt;

use crate::clock::Timestamp;
use crate::limits::KeyTerms;
use crate::secret::ServerSecret;

/// What every key begins with.
pub const KEY_PREFIX: &str = "tm-";
/// Characters of a public id.
pub(crate) const ID_LEN: usize = 12;
/// 43 characters of 62 carry 256 bits.
const SECRET_LEN: usize = 43;
const CHECK_LEN: usize = 6;
const KEY_LEN: usize = KEY_PREFIX.len() + ID_LEN + 1 + SECRET_LEN + CHECK_LEN;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A whole key. Shown to its owner once; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(String);

impl KeySecret {
    /// A new key from the system's randomness.
    pub(crate) fn generate() -> Result<KeySecret, getrandom::Error> {
        let mut text = format!(
            "{KEY_PREFIX}{}-{}",
            random_text(ID_LEN)?,
            random_text(SECRET_LEN)?
        );
        text.push_str(&check(&text));
        Ok(KeySecret(text))
    }

    /// A new secret for the key of that id; `None` where it can be no id.
    pub(crate) fn generate_for(id: &str) -> Result<Option<KeySecret>, getrandom::Error> {
        if id.len() != ID_LEN || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let mut text = format!("{KEY_PREFIX}{id}-{}", random_text(SECRET_LEN)?);
        text.push_str(&check(&text));
        Ok(Some(KeySecret(text)))
    }

    /// The key as its owner presents it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.0[KEY_PREFIX.len()..KEY_PREFIX.len() + ID_LEN]
    }

    /// This key, as somebody who presents it.
    pub(crate) fn presented(&self) -> PresentedKey<'_> {
        PresentedKey { text: &self.0 }
    }

    /// The last four characters, by which an owner recognises a key in a list.
    pub(crate) fn last_four(&self) -> &str {
        &self.0[KEY_LEN - 4..]
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySecret({KEY_PREFIX}{}-…)", self.id())
    }
}

/// A presented key whose form and check are right; nothing is known about its secret yet.
pub(crate) struct PresentedKey<'a> {
    text: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// `None` where the form or the check is wrong.
    pub(crate) fn parse(text: &'a str) -> Option<PresentedKey<'a>> {
        if text.len() != KEY_LEN || !text.is_ascii() {
            return None;
        }
        let body = text.strip_prefix(KEY_PREFIX)?;
        let (id, rest) = body.split_at(ID_LEN);
        let secret_and_check = rest.strip_prefix('-')?;
        let is_alphanumeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_alphanumeric(id) || !is_alphanumeric(secret_and_check) {
            return None;
        }
        let (checked, given_check) = text.split_at(KEY_LEN - CHECK_LEN);
        (check(checked) == given_check).then_some(PresentedKey { text })
    }

    pub(crate) fn id(&self) -> &'a str {
        &self.text[KEY_PREFIX.len()..KEY_PREFIX.len() + ID_LEN]
    }

    /// The 32 bytes that are stored for this key. The id is covered, so that the row of one key
    /// cannot vouch for another.
    pub(crate) fn mac(&self, server_secret: &ServerSecret) -> [u8; 32] {
        server_secret.derive("tokenmill key v1\0", &[self.text.as_bytes()])
    }
}

/// What can be said about a key without knowing it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInfo {
    /// The public part, which names the key everywhere.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Whose key it is.
    pub person: String,
    /// The last four characters of the whole key.
    pub last_four: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
    /// What it may do.
    pub terms: KeyTerms,
    /// Whether it is the one that its owner's work in the console is counted under, whose secret nobody knows.
    pub is_console: bool,
}

impl KeyInfo {
    /// The key with its middle left out: `tm-9fK2mQ0aXb7Z-…VbT0`.
    pub fn redacted(&self) -> String {
        format!("{KEY_PREFIX}{}-…{}", self.id, self.last_four)
    }
}

/// `len` characters, each of 62 with equal chance.
pub(crate) fn random_text(len: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(len);
    let mut bytes = [0u8; 64];
    while text.len() < len {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte: taking more would favour some characters.
        let fair = bytes.iter().filter(|&&byte| byte < 248);
        text.extend(
            fair.map(|&byte| char::from(ALPHABET[usize::from(byte) % 62]))
                .take(len - text.len()),
        );
    }
    Ok(text)
}

/// CRC-32 of `text` in six characters, most significant first.
fn check(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut characters = [b'0'; CHECK_LEN];
    for character in characters.iter_mut().rev() {
        *character = ALPHABET[rest % 62];
        rest /= 62;
    }
    characters.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_is_read_back() {
        let key = KeySecret::generate().unwrap();
        assert_eq!(key.expose().len(), KEY_LEN);
        let presented = PresentedKey::parse(key.expose()).unwrap();
        assert_eq!(presented.id(), key.id());
        assert!(key.expose().ends_with(key.last_four()));
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let key = KeySecret::generate().unwrap();
        for position in 0..KEY_LEN {
            let mut changed = key.expose().as_bytes().to_vec();
            changed[position] = if changed[position] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(PresentedKey::parse(&changed).is_none(), "position {position}");
        }
    }

    #[test]
    fn wrong_forms_are_refused() {
        let key = KeySecret::generate().unwrap();
        let key = key.expose();
        let multibyte = format!("{}é", &key[..KEY_LEN - 2]);
        for text in ["", "tm-", "sk-123", &key[1..], &format!("{key}x"), &multibyte] {
            assert!(PresentedKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_stored_value_depends_on_the_server_secret() {
        let key = KeySecret::generate().unwrap();
        let presented = PresentedKey::parse(key.expose()).unwrap();
        let (one, two) = (
            ServerSecret::from_bytes([1; 32]),
            ServerSecret::from_bytes([2; 32]),
        );
        assert_ne!(presented.mac(&one), presented.mac(&two));
        assert_eq!(presented.mac(&one), presented.mac(&one));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let key = KeySecret::generate().unwrap();
        assert!(!format!("{key:?}").contains(&key.expose()[17..]));
    }
}
