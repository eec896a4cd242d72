//! Networks that a key may be used from: `203.0.113.0/24`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, version 4 or 6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    /// In the form of version 6, version 4 being mapped.
    first: u128,
    /// Leading bits that are the same for all of it, of 128.
    n_bits: u32,
    is_v4: bool,
}

/// A text that names no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no network: write an address and the number of leading bits, as in 203.0.113.0/24, with no bits set after them"
)]
pub struct NetworkError(String);

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl Network {
    /// Whether `address` lies in it. A version 4 address in its version 6 form is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let difference = u128::from(as_v6(address)) ^ self.first;
        difference.leading_zeros() >= self.n_bits
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let error = || NetworkError(text.chars().take(64).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let is_v4 = address.is_ipv4();
        let most = if is_v4 { 32 } else { 128 };
        let n_bits = match bits {
            Some(bits) => bits
                .parse::<u32>()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(error)?,
            None => most,
        } + (128 - most);
        let first = u128::from(as_v6(address));
        let rest = u128::MAX.checked_shr(n_bits).unwrap_or(0);
        if first & rest != 0 {
            return Err(error());
        }
        Ok(Network { first, n_bits, is_v4 })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from(self.first);
        match first.to_ipv4_mapped().filter(|_| self.is_v4) {
            Some(first) => write!(f, "{first}/{}", self.n_bits - 96),
            None => write!(f, "{first}/{}", self.n_bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_inside_or_not() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.6"),
            ("203.0.113.0/24", "::ffff:203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("::/0", "::1", ""),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            if !outside.is_empty() {
                assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
            }
            assert_eq!(parsed.to_string().parse::<Network>().unwrap(), parsed);
        }
    }

    #[test]
    fn a_text_that_is_no_network_is_refused() {
        for wrong in [
            "",
            "x",
            "1.2.3.4/33",
            "1.2.3.4/24",
            "::1/64",
            "1.2.3/24",
            "1.2.3.4/",
            "1.2.3.4/-1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
