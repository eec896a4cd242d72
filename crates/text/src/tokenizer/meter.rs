//! How much of a text an expression from a file may read.
//!
//! One search is linear in what it reads, but a search that reads to the end of the text to match one character, done
//! again for the next, is quadratic (`[^x]*x|[^x]` where there is no `x`). The expressions that models use stop where
//! the word ends. So an expression that we do not know is followed by a second automaton that counts what it reads.

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use std::sync::Mutex;

use super::TokenizerError;

/// The automaton may take this much memory (bytes).
const SIZE_LIMIT: usize = 16 << 20;
/// Expressions may read every byte this many times; those of real models do less than three times.
const READS_PER_BYTE: usize = 64;
/// Further bytes that they may read of any text.
const BASE_READS: usize = 64 << 10;

/// Counts what searches for an expression read.
#[derive(Debug)]
pub(super) struct Meter {
    dfa: DFA,
    /// States found so far; a caller who finds it taken makes its own.
    cache: Mutex<Cache>,
}

/// The bytes that may still be read.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Allowance {
    /// For a text of `len` bytes.
    pub(super) fn of(len: usize) -> Allowance {
        Allowance(len.saturating_mul(READS_PER_BYTE).saturating_add(BASE_READS))
    }
}

impl Meter {
    /// For searches for any of `patterns`, the first going first.
    pub(super) fn new(patterns: &[&str]) -> Result<Meter, String> {
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().nest_limit(64))
            .thompson(thompson::Config::new().nfa_size_limit(Some(SIZE_LIMIT)))
            .configure(
                DFA::config()
                    .unicode_word_boundary(true)
                    .cache_capacity(SIZE_LIMIT)
                    .skip_cache_capacity_check(true),
            )
            .build_many(patterns)
            .map_err(|error| error.to_string())?;
        let cache = Mutex::new(dfa.create_cache());
        Ok(Meter { dfa, cache })
    }

    /// Takes what a search of `haystack` from `at` on reads from the allowance. Errors if it is used up.
    pub(super) fn pay(
        &self,
        haystack: &str,
        at: usize,
        allowance: &mut Allowance,
    ) -> Result<(), TokenizerError> {
        let n_read = match self.cache.try_lock() {
            Ok(mut cache) => self.read(&mut cache, haystack, at, allowance.0),
            Err(_) => self.read(&mut self.dfa.create_cache(), haystack, at, allowance.0),
        };
        allowance.0 = allowance
            .0
            .checked_sub(n_read)
            .ok_or(TokenizerError::ReadsTooMuch)?;
        Ok(())
    }

    /// The bytes that a search reads, up to one more than `limit`.
    fn read(&self, cache: &mut Cache, haystack: &str, at: usize, limit: usize) -> usize {
        let rest = haystack.as_bytes().get(at..).unwrap_or_default();
        // Where this automaton gives up (a word's border beyond ASCII), the search may read everything.
        let all = rest.len();
        let Ok(mut state) = self
            .dfa
            .start_state_forward(cache, &Input::new(haystack).range(at..))
        else {
            return all;
        };
        for (n, &byte) in rest.iter().enumerate().take(limit.saturating_add(1)) {
            match self.dfa.next_state(cache, state, byte) {
                Ok(next) if next.is_dead() => return n + 1,
                Ok(next) if !next.is_quit() => state = next,
                _ => return all,
            }
        }
        all.min(limit.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_pays_for_what_it_reads() {
        let read = |pattern: &str, text: &str, at| {
            let meter = Meter::new(&[pattern]).unwrap();
            meter.read(&mut meter.dfa.create_cache(), text, at, usize::MAX)
        };
        assert_eq!(read("[^x]*x|[^x]", "aaaaaaaa", 2), 6);
        // A match is known one byte after the byte that ends it.
        assert_eq!(read(r"\p{L}+| ", "abc def ghi", 0), 5);
        assert_eq!(read(r"\p{L}+| ", "abc def ghi", 4), 5);
        assert_eq!(read(r"\w+\b", "é abc", 0), 6);
    }

    #[test]
    fn the_allowance_ends() {
        let meter = Meter::new(&["[^x]*x|[^x]"]).unwrap();
        let text = "a".repeat(100_000);
        let mut allowance = Allowance::of(text.len());
        let mut pay = || meter.pay(&text, 0, &mut allowance);
        assert!((0..READS_PER_BYTE).all(|_| pay().is_ok()));
        assert!(pay().is_err());
    }
}
