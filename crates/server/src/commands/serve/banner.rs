//! What a start prints: where the service is, the key if it is new, and a command that works when pasted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokenmill_accounts::{First, Person, Token};

use crate::config::Config;
use crate::model_spec::ModelSpec;

pub(super) struct Banner<'a> {
    pub(super) config: &'a Config,
    pub(super) specs: &'a [ModelSpec],
    pub(super) address: SocketAddr,
    pub(super) first: &'a First,
    /// Who may choose the first password, and with what.
    pub(super) invited: Option<&'a (Person, Token)>,
    pub(super) took: Duration,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.specs.iter().map(|spec| spec.id.as_str()).collect();
        let base_url = base_url(self.address);
        writeln!(
            f,
            "Tokenmill {} is ready after {:.2} s",
            env!("CARGO_PKG_VERSION"),
            self.took.as_secs_f64()
        )?;
        writeln!(f)?;
        writeln!(f, "  Models    {}", ids.join(", "))?;
        writeln!(f, "  Base URL  {base_url}")?;
        let console = base_url.trim_end_matches("/v1");
        writeln!(f, "  Console   {console}/console/")?;
        if let Some((person, token)) = self.invited {
            writeln!(f, "            {console}/console/welcome#{}", token.expose())?;
            writeln!(
                f,
                "            This link sets the password of `{}`, once. A restart makes another until it is used.",
                person.name
            )?;
        }
        let Some(key) = &self.first.key else {
            writeln!(
                f,
                "  API key   was shown once, on the first start; `{}` makes another",
                self.keys_create()
            )?;
            return writeln!(f);
        };
        let key = key.expose();
        writeln!(f, "  API key   {key}")?;
        writeln!(
            f,
            "            Keep it: it is shown only this once. `{}` makes another.",
            self.keys_create()
        )?;
        writeln!(f, "  Project   {}/{}", self.first.team, self.first.project)?;
        writeln!(f)?;
        writeln!(f, "Try it:")?;
        writeln!(f)?;
        writeln!(f, "  curl {base_url}/chat/completions \\")?;
        writeln!(
            f,
            "    -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \\"
        )?;
        let model = serde_json::Value::from(ids.first().copied().unwrap_or_default());
        let body = format!(
            r#"{{"model": {model}, "messages": [{{"role": "user", "content": "Tell me a joke."}}]}}"#
        );
        writeln!(f, "    -d {}", shell_quoted(&body))?;
        writeln!(f)
    }
}

impl Banner<'_> {
    /// The command that makes another key for this server.
    fn keys_create(&self) -> String {
        if self.config.data_dir == Config::default().data_dir {
            "tokenmill keys create".to_owned()
        } else {
            let data_dir = shell_quoted(&self.config.data_dir.to_string_lossy());
            format!("tokenmill keys create --data-dir {data_dir}")
        }
    }
}

/// The URL by which this machine reaches an address that is listened on.
fn base_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/v1", SocketAddr::new(ip, address.port()))
}

/// A text as one word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_can_be_reached() {
        let url = |address: &str| base_url(address.parse().unwrap());
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80/v1");
        assert_eq!(url("[::]:80"), "http://[::1]:80/v1");
        assert_eq!(url("10.1.2.3:8080"), "http://10.1.2.3:8080/v1");
    }

    #[test]
    fn quoting_keeps_a_text_one_word() {
        assert_eq!(shell_quoted("/var/lib/tokenmill"), "/var/lib/tokenmill");
        assert_eq!(shell_quoted("my data"), "'my data'");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
    }
}
