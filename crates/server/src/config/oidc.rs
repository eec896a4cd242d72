//! The part of the config file that names identity providers, `[[oidc]]`: with whom people may sign in besides a password.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use tokenmill_accounts::Newcomers;
use tokenmill_gateway::{ClientSecret, IdentityProvider, VERIFIED_CLAIM, is_private};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

/// The name of the section.
pub(super) const SECTION: &str = "oidc";

/// What is wrong, and where it stands in the file.
type Fault = (usize, String);

/// A provider as the example file and the reference show it.
pub(super) const EXAMPLE: &str = r#"[[oidc]]
id = "corp"
issuer = "https://login.example.com/realms/corp"
client_id = "tokenmill"
client_secret_file = "/run/secrets/oidc"
label = "Corp"
scopes = ["email", "profile"]
allowed_domains = ["example.com"]
verified_claim = "email_verified"
new_people = "join"
team = "default"
role = "member"
"#;

/// A provider whose secret is not read yet: only the server needs it, and not every command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfiguredProvider {
    provider: IdentityProvider,
    secret: SecretAt,
}

/// Where a client's secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum SecretAt {
    Nowhere,
    Here(ClientSecret),
    File(PathBuf),
    Variable(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    id: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    label: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    allowed_domains: Vec<String>,
    verified_claim: Option<String>,
    #[serde(default)]
    new_people: NewPeople,
    team: Option<String>,
    role: Option<Role>,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum NewPeople {
    #[default]
    Refused,
    Join,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Admin,
    Member,
}

/// Reads the list of providers.
pub(super) fn read(value: &Spanned<DeValue<'_>>) -> Result<Vec<ConfiguredProvider>, Fault> {
    let DeValue::Array(items) = value.get_ref() else {
        let fault = format!("`{SECTION}` is a list of identity providers, each written as `[[{SECTION}]]`");
        return Err((value.span().start, fault));
    };
    let mut providers: Vec<ConfiguredProvider> = Vec::new();
    for item in items {
        let span = item.span();
        let table = deserialized(item.get_ref().clone(), span.clone())?;
        let configured = configured(table).map_err(|fault| (span.start, fault))?;
        let new = &configured.provider;
        let mut others = providers.iter().map(|other| &other.provider);
        if others.any(|other| other.id == new.id || other.issuer == new.issuer) {
            let fault = format!(
                "a provider with the id {:?} or its issuer is listed twice",
                new.id
            );
            return Err((span.start, fault));
        }
        providers.push(configured);
    }
    Ok(providers)
}

fn deserialized(value: DeValue<'_>, span: Range<usize>) -> Result<Table, Fault> {
    let start = span.start;
    let deserializer = ValueDeserializer::from(Spanned::new(span, value));
    Table::deserialize(deserializer).map_err(|error| {
        let at = error.span().map_or(start, |span| span.start);
        (at, error.message().replace('\n', " "))
    })
}

fn configured(table: Table) -> Result<ConfiguredProvider, String> {
    let is_in_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if table.id.is_empty() || table.id.len() > 40 || !table.id.bytes().all(is_in_id) {
        return Err("`id` is 1 to 40 letters, digits and '-'; it is a part of an address".to_owned());
    }
    if !is_private(&table.issuer) {
        let fault =
            "`issuer` must be an https:// address (http:// only on this machine), as the provider writes it";
        return Err(fault.to_owned());
    }
    if table.client_id.is_empty() {
        return Err("`client_id` must not be empty".to_owned());
    }
    let newcomers = match (table.new_people, table.team, table.role) {
        (NewPeople::Join, Some(team), role) => Newcomers::Join {
            team,
            is_admin: role == Some(Role::Admin),
        },
        (NewPeople::Join, None, _) => return Err("`new_people = \"join\"` needs a `team`".to_owned()),
        (NewPeople::Refused, None, None) => Newcomers::Refused,
        (NewPeople::Refused, ..) => {
            return Err("`team` and `role` are for `new_people = \"join\"`".to_owned());
        }
    };
    let secret = match (
        table.client_secret,
        table.client_secret_file,
        table.client_secret_env,
    ) {
        (None, None, None) => SecretAt::Nowhere,
        (Some(text), None, None) => SecretAt::Here(ClientSecret::new(text)),
        (None, Some(path), None) => SecretAt::File(path),
        (None, None, Some(name)) => SecretAt::Variable(name),
        _ => {
            let fault = "give one of `client_secret`, `client_secret_file` and `client_secret_env`";
            return Err(fault.to_owned());
        }
    };
    let label = table.label.unwrap_or_else(|| table.id.clone());
    let provider = IdentityProvider {
        id: table.id,
        label,
        issuer: table.issuer,
        client_id: table.client_id,
        client_secret: None,
        scopes: table.scopes.unwrap_or_else(|| vec!["email".to_owned()]),
        allowed_domains: table.allowed_domains,
        verified_claim: table.verified_claim.unwrap_or_else(|| VERIFIED_CLAIM.to_owned()),
        newcomers,
    };
    Ok(ConfiguredProvider { provider, secret })
}

impl ConfiguredProvider {
    /// With its secret, read from where it is.
    pub(crate) fn complete(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<IdentityProvider, String> {
        let of = format!("[[{SECTION}]] {:?}", self.provider.id);
        let client_secret = match &self.secret {
            SecretAt::Nowhere => None,
            SecretAt::Here(secret) => Some(secret.clone()),
            SecretAt::File(path) => {
                let read = std::fs::read_to_string(path);
                let text =
                    read.map_err(|error| format!("{of}: {} cannot be read: {error}", path.display()))?;
                Some(ClientSecret::new(text.trim_end().to_owned()))
            }
            SecretAt::Variable(name) => {
                let text = variable(name).and_then(|text| text.into_string().ok());
                let text =
                    text.ok_or_else(|| format!("{of}: the variable {name} is not set, or not UTF-8"))?;
                Some(ClientSecret::new(text))
            }
        };
        Ok(IdentityProvider {
            client_secret,
            ..self.provider.clone()
        })
    }
}
