//! Where a request comes from: the caller's address, also behind proxies, and the country that it lies in.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName};
use tokenmill_accounts::{Network, NetworkError};

use crate::Options;
use crate::serve::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The operator's rules about origins cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Something in the list of proxies is no network.
    #[error("gateway.trusted_proxies: {0}")]
    Proxy(#[from] NetworkError),
    /// The header is none.
    #[error("gateway.country_header: {0:?} is no name of a header")]
    Header(String),
    /// The database cannot be used.
    #[error("gateway.country_database: {path}: {fault}")]
    Database {
        /// Its file.
        path: String,
        /// What is wrong with it.
        fault: maxminddb::MaxMindDbError,
    },
    /// Countries are denied, and nothing tells anybody's.
    #[error(
        "gateway.denied_countries needs gateway.country_header or gateway.country_database: without one no caller's country is known"
    )]
    NoCountries,
}

/// What tells origins.
pub(crate) struct Origins {
    trusted_proxies: Vec<Network>,
    country_header: Option<HeaderName>,
    countries: Option<maxminddb::Reader<Vec<u8>>>,
    denied: Vec<String>,
}

impl Origins {
    pub(crate) fn open(options: &Options) -> Result<Origins, OriginError> {
        let proxies = options.trusted_proxies.iter().map(|text| text.parse());
        let name = Some(&options.country_header).filter(|name| !name.is_empty());
        let header = name.map(|name| {
            let name = name.parse::<HeaderName>();
            name.map_err(|_| OriginError::Header(options.country_header.clone()))
        });
        let path = Some(&options.country_database).filter(|path| !path.is_empty());
        let database = path.map(|path| {
            let fault = |fault| OriginError::Database {
                path: path.clone(),
                fault,
            };
            maxminddb::Reader::open_readfile(path).map_err(fault)
        });
        let origins = Origins {
            trusted_proxies: proxies.collect::<Result<_, _>>()?,
            country_header: header.transpose()?,
            countries: database.transpose()?,
            denied: options.denied_countries.clone(),
        };
        let tells_countries = origins.country_header.is_some() || origins.countries.is_some();
        if !origins.denied.is_empty() && !tells_countries {
            return Err(OriginError::NoCountries);
        }
        Ok(origins)
    }

    /// The caller's address: who is at the other end of the connection, or, where that is a trusted proxy, whom it names.
    pub(crate) fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>()?.0;
        Some(self.behind_proxies(peer, request.headers()))
    }

    /// Each proxy adds at the end who asked it. So what a trusted one has added is true, and what stands before it may be the
    /// caller's invention.
    fn behind_proxies(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.is_trusted(address) {
            match hops.next().and_then(|hop| hop_address(hop.trim())) {
                Some(hop) => address = hop,
                None => break,
            }
        }
        address
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(address))
    }

    /// Whether the caller's country is one that nobody may come from. One whose country is not known may.
    pub(crate) fn is_denied(&self, request: &Request, address: Option<IpAddr>) -> bool {
        if self.denied.is_empty() {
            return false;
        }
        let country = self.told_country(request.headers()).map(str::to_owned);
        let country = country.or_else(|| self.country_of(address?));
        country.is_some_and(|country| {
            self.denied
                .iter()
                .any(|denied| denied.eq_ignore_ascii_case(&country))
        })
    }

    fn told_country<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers.get(self.country_header.as_ref()?)?.to_str().ok()
    }

    fn country_of(&self, address: IpAddr) -> Option<String> {
        let found = self.countries.as_ref()?.lookup(address.to_canonical());
        let code = found.and_then(|found| found.decode_path(&maxminddb::path!["country", "iso_code"]));
        // A version 6 address in a database of version 4 is an error, and a country that is not known.
        code.ok().flatten()
    }
}

/// An address, with or without a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse();
    let with_port = |_| text.parse().map(|socket: std::net::SocketAddr| socket.ip());
    address.or_else(with_port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn whom_a_trusted_proxy_names_is_the_caller_and_what_stands_before_is_an_invention() {
        let options = Options {
            trusted_proxies: vec!["10.0.0.0/8".into(), "2001:db8::/32".into()],
            ..Options::default()
        };
        let origins = Origins::open(&options).expect("good networks");
        let behind = |peer: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let peer = peer.parse().expect("an address");
            origins.behind_proxies(peer, &headers).to_string()
        };
        assert_eq!(
            behind("192.0.2.1", &["203.0.113.9"]),
            "192.0.2.1",
            "nobody trusts it"
        );
        assert_eq!(behind("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            behind("10.0.0.1", &["203.0.113.9", "198.51.100.7,10.1.1.1"]),
            "198.51.100.7"
        );
        assert_eq!(behind("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(behind("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(behind("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(behind("2001:db8::1", &["[2001:4860::8]"]), "2001:4860::8");
        assert_eq!(behind("2001:db8::1", &["[2001:4860::8]:443"]), "2001:4860::8");
    }

    #[test]
    fn rules_that_cannot_be_kept_are_refused() {
        let refused = |options: Options| {
            Origins::open(&options)
                .map(drop)
                .expect_err("no rule")
                .to_string()
        };
        let denied = refused(Options {
            denied_countries: vec!["XX".into()],
            ..Options::default()
        });
        assert!(denied.starts_with("gateway.denied_countries needs"), "{denied}");
        let proxy = refused(Options {
            trusted_proxies: vec!["10.0.0.1/8".into()],
            ..Options::default()
        });
        assert!(proxy.starts_with("gateway.trusted_proxies: "), "{proxy}");
        let database = refused(Options {
            country_database: "/nowhere.mmdb".into(),
            ..Options::default()
        });
        assert!(
            database.starts_with("gateway.country_database: /nowhere.mmdb: "),
            "{database}"
        );
        let header = refused(Options {
            country_header: "a b".into(),
            ..Options::default()
        });
        assert_eq!(header, "gateway.country_header: \"a b\" is no name of a header");
    }
}
