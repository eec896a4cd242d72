//! People who sign in at an identity provider: who they are here, and who of them is let in.

use serde_json::json;

use crate::Accounts;
use crate::clock::Timestamp;
use crate::manage::ManageError;
use crate::session::Token;
use crate::store::StoreError;
use crate::team::Person;

const MAX_MAIL_BYTES: usize = 254;

/// Somebody as a token that their identity provider has signed names them.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// What this server calls the provider.
    pub provider: &'a str,
    /// What the provider calls itself.
    pub issuer: &'a str,
    /// Who they are there; never changes and is never used again.
    pub subject: &'a str,
    /// Only an address that the provider says it has verified.
    pub mail: Option<&'a str>,
}

/// What becomes of somebody whose address nobody here has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Newcomers {
    /// They are not let in.
    #[default]
    Refused,
    /// They become a person of this team.
    Join {
        /// Its name.
        team: String,
        /// Whether they may change it.
        is_admin: bool,
    },
}

/// A link between a person and a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityInfo {
    /// What the provider calls itself.
    pub issuer: String,
    /// The address that it told when they were linked.
    pub mail: String,
    /// When.
    pub linked_at: Timestamp,
}

/// Somebody is known to a provider and still not let in.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// They have no link yet, and nothing to find them by.
    #[error("no verified mail address was told for you")]
    NoMail,
    /// Nobody here has their address.
    #[error("nobody here has the mail address {0}; ask an administrator of your team to add you with it")]
    Unknown(String),
    /// The person with this address is somebody else there.
    #[error(
        "the person with the mail address {0} is linked to another account already; an operator can set the address anew"
    )]
    LinkedElsewhere(String),
    /// They were taken out of every team.
    #[error("you are in no team any more; ask an administrator of your team")]
    Removed,
    /// The team that newcomers join is not there.
    #[error("there is no team called {0:?} for newcomers to join")]
    NoTeam(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Signs somebody in whom a provider has identified. The first time, they are linked to the person who has their mail
    /// address, or become one as `newcomers` says.
    pub async fn sign_in_as(
        &self,
        identity: Identity<'_>,
        newcomers: &Newcomers,
    ) -> Result<Token, IdentityError> {
        let db = &self.shared.db;
        let person = match db.identified(&identity).await? {
            Some(person) => person,
            None => {
                let mail = identity.mail.and_then(normal_mail).ok_or(IdentityError::NoMail)?;
                self.books().link(&identity, &mail, newcomers, self.now()).await?
            }
        };
        if !db.is_in_a_team(&person).await? {
            return Err(IdentityError::Removed);
        }
        Ok(self.new_session(&person).await?)
    }

    /// A person's mail address, and the providers that they are linked to.
    pub async fn identities(
        &self,
        person: &Person,
    ) -> Result<(Option<String>, Vec<IdentityInfo>), StoreError> {
        let db = &self.shared.db;
        Ok((db.mail(person).await?, db.identities(person).await?))
    }

    /// Sets the address by which a provider's first sign-in finds a person, or takes it away. Where that changes it, the
    /// links to providers are undone, and with them the person's sessions.
    pub async fn set_mail(&self, actor: &str, person: &str, mail: Option<&str>) -> Result<(), ManageError> {
        let normal = mail.map(|mail| {
            normal_mail(mail).ok_or_else(|| {
                ManageError::Invalid(format!(
                    "{mail:?} is no mail address: write it as name@example.com"
                ))
            })
        });
        let mail = normal.transpose()?;
        let change = self.change(actor, "person.mail", person, &json!({"mail": mail}));
        self.books().set_mail(&change, mail.as_deref()).await
    }
}

/// An address in the one form in which it is stored and compared. Only ASCII letters lose their case: there are others whose
/// small form is an ASCII letter, and who has one of these has another address.
fn normal_mail(text: &str) -> Option<String> {
    let (name, domain) = text.trim().split_once('@')?;
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
    };
    let is_mail = is_plain(name) && is_plain(domain) && text.len() <= MAX_MAIL_BYTES;
    is_mail.then(|| format!("{name}@{domain}").to_ascii_lowercase())
}

/// Names that a person with this address may get, the nicest first.
pub(crate) fn names_for(mail: &str) -> impl Iterator<Item = String> {
    let local = mail.split('@').next().unwrap_or_default();
    let in_name = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let name: String = local.chars().map(in_name).take(50).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    let name = if name.is_empty() { "person" } else { name }.to_owned();
    std::iter::once(name.clone()).chain((2..).map(move |n: u32| format!("{name}-{n}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::is_name;

    #[test]
    fn addresses_are_compared_without_the_case_of_ascii_letters() {
        assert_eq!(
            normal_mail(" Ann@Corp.Example ").as_deref(),
            Some("ann@corp.example")
        );
        // The Kelvin sign, whose small form is an ASCII k.
        assert_ne!(
            normal_mail("\u{212a}ate@corp.example"),
            normal_mail("kate@corp.example")
        );
        for no_address in [
            "",
            "ann",
            "@corp",
            "ann@",
            "ann@corp@evil",
            "a nn@corp",
            "ann@corp\n.example",
        ] {
            assert_eq!(normal_mail(no_address), None, "{no_address:?}");
        }
        assert_eq!(normal_mail(&format!("{}@corp", "a".repeat(250))), None);
    }

    #[test]
    fn a_newcomers_name_comes_from_their_address() {
        let first = |mail: &str| names_for(mail).next().unwrap_or_default();
        assert_eq!(first("ann.lee@corp.example"), "ann.lee");
        assert_eq!(first("ann+mill@corp.example"), "ann-mill");
        assert_eq!(first("_@corp.example"), "person");
        assert_eq!(names_for("ann@corp").nth(1).as_deref(), Some("ann-2"));
        for mail in [
            "é@corp",
            "ünal@corp",
            "a'b@corp",
            "-x@corp",
            &format!("{}@c", "x".repeat(64)),
        ] {
            assert!(names_for(mail).take(3).all(|name| is_name(&name)), "{mail}");
        }
    }
}
