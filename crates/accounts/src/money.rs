//! Money: whole nano-dollars, and prices in nano-dollars per million tokens. No fraction is ever kept or computed with;
//! the one rounding there is stands in [`Price::cost`].

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Decimal places of a dollar.
const PLACES: usize = 9;

/// An amount in billionths of a US dollar. Displays in dollars, as short as is exact: `12.5`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// Nothing.
    pub const ZERO: Nanos = Nanos(0);

    /// So many whole dollars.
    pub const fn dollars(dollars: i64) -> Nanos {
        Nanos(dollars.saturating_mul(1_000_000_000))
    }

    /// Dollars written in decimal, with at most nine places: `0.0000375`, `-3`. `None` for anything else.
    pub fn parse_dollars(text: &str) -> Option<Nanos> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > PLACES {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let fraction: i64 = format!("{fraction:0<PLACES$}").parse().ok()?;
        let nanos = whole.checked_mul(1_000_000_000)?.checked_add(fraction)?;
        Some(Nanos(if is_negative { -nanos } else { nanos }))
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (
            self.0.unsigned_abs() / 1_000_000_000,
            self.0.unsigned_abs() % 1_000_000_000,
        );
        let fraction = format!("{fraction:09}");
        let fraction = fraction.trim_end_matches('0');
        // Two places at least: that is how dollars are read.
        f.pad(&format!("{sign}{whole}.{fraction:0<2}"))
    }
}

impl Add for Nanos {
    type Output = Nanos;

    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Nanos;

    fn sub(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(other.0))
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Nanos>>(amounts: I) -> Nanos {
        amounts.fold(Nanos::ZERO, Add::add)
    }
}

/// One version of a model's price. Versions never change; a request keeps the one it was admitted under.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Price {
    /// Names the version; 0 is the price of a model that has none: nothing.
    pub version: i64,
    /// Nano-dollars per million tokens of the prompt.
    pub input: Nanos,
    /// Nano-dollars per million tokens of the prompt that the prefix cache had.
    pub cached_input: Nanos,
    /// Nano-dollars per million tokens generated.
    pub output: Nanos,
}

/// Tokens to be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt, the cached ones among them.
    pub n_prompt: u64,
    /// Of the prompt, had by the prefix cache; `None` where nobody said, and then none is charged as cached.
    pub n_cached: Option<u64>,
    /// Generated.
    pub n_completion: u64,
}

impl Price {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<&'static str> {
        // A million dollars for a million tokens: with more, sums could come to an end.
        let is_good = |part: Nanos| (0..=1_000_000_000_000_000).contains(&part.0);
        let parts = [self.input, self.cached_input, self.output];
        (!parts.into_iter().all(is_good)).then_some("a price is from 0 to 1,000,000 USD per million tokens")
    }

    /// What tokens cost: tokens times prices, added up exactly, and then rounded up once to a whole nano-dollar.
    pub fn cost(&self, tokens: Tokens) -> Nanos {
        let n_cached = tokens.n_cached.unwrap_or(0).min(tokens.n_prompt);
        let part = |n: u64, price: Nanos| u128::from(n) * u128::from(price.0.unsigned_abs());
        let exact = part(tokens.n_prompt - n_cached, self.input)
            + part(n_cached, self.cached_input)
            + part(tokens.n_completion, self.output);
        Nanos(i64::try_from(exact.div_ceil(1_000_000)).unwrap_or(i64::MAX))
    }

    /// The most that a prompt and `n_completion` tokens can cost, however much the cache has.
    pub fn worst_case(&self, n_prompt: u64, n_completion: u64) -> Nanos {
        let tokens = |n_cached| Tokens {
            n_prompt,
            n_cached: Some(n_cached),
            n_completion,
        };
        self.cost(tokens(0)).max(self.cost(tokens(n_prompt)))
    }

    /// How many generated tokens `budget` pays for besides the prompt; `u64::MAX` where they cost nothing.
    pub fn affordable(&self, n_prompt: u64, budget: Nanos) -> u64 {
        let prompt = self.worst_case(n_prompt, 0);
        if prompt > budget {
            return 0;
        }
        if self.output.0 == 0 {
            return u64::MAX;
        }
        // In millionths of a nano-dollar, as the cost is before it is rounded up.
        let input = u128::from(n_prompt) * u128::from(self.input.max(self.cached_input).0.unsigned_abs());
        let left = u128::from(budget.0.unsigned_abs()) * 1_000_000 - input;
        u64::try_from(left / u128::from(self.output.0.unsigned_abs())).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_shown_exactly() {
        for (text, nanos, shown) in [
            ("0", 0, "0.00"),
            ("0.01", 10_000_000, "0.01"),
            ("12.5", 12_500_000_000, "12.50"),
            ("-3.000000001", -3_000_000_001, "-3.000000001"),
            ("0.0375", 37_500_000, "0.0375"),
        ] {
            assert_eq!(Nanos::parse_dollars(text), Some(Nanos(nanos)), "{text}");
            assert_eq!(Nanos(nanos).to_string(), shown);
        }
        for wrong in [
            "",
            ".5",
            "5.",
            "1e3",
            "+1",
            "1,000",
            "0.0000000001",
            "99999999999999",
            "--1",
            "1.-1",
        ] {
            assert_eq!(Nanos::parse_dollars(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_cost_is_rounded_up_once() {
        let price = Price {
            version: 1,
            input: Nanos(1),
            cached_input: Nanos(1),
            output: Nanos(1),
        };
        let tokens = |n_prompt, n_cached, n_completion| Tokens {
            n_prompt,
            n_cached,
            n_completion,
        };
        assert_eq!(price.cost(tokens(0, None, 0)), Nanos(0));
        assert_eq!(
            price.cost(tokens(1, Some(1), 1)),
            Nanos(1),
            "not one for each part"
        );
        assert_eq!(price.cost(tokens(500_000, None, 500_000)), Nanos(1));
        assert_eq!(price.cost(tokens(500_000, None, 500_001)), Nanos(2));
        assert_eq!(
            price.cost(tokens(u64::MAX, None, u64::MAX)),
            Nanos(36_893_488_147_420)
        );
        let dear = Price {
            input: Nanos(i64::MAX),
            ..price
        };
        assert_eq!(
            dear.cost(tokens(u64::MAX, None, 0)),
            Nanos(i64::MAX),
            "not beyond"
        );
    }

    #[test]
    fn what_is_affordable_is_the_most_that_the_budget_pays_for() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..10_000 {
            let price = Price {
                version: 1,
                input: Nanos(random(3_000_000) as i64),
                cached_input: Nanos(random(3_000_000) as i64),
                output: Nanos(random(3_000_000) as i64 + 1),
            };
            let (n_prompt, budget) = (random(1_000), Nanos(random(10_000) as i64));
            let n = price.affordable(n_prompt, budget);
            if price.worst_case(n_prompt, 0) <= budget {
                assert!(price.worst_case(n_prompt, n) <= budget);
                assert!(price.worst_case(n_prompt, n + 1) > budget);
            } else {
                assert_eq!(n, 0);
            }
        }
    }
}
