//! Grammars over a model's tokens: what an answer may hold, as a set of tokens at each place.
//!
//! The library behind it is llguidance, and only this module knows that. A grammar is a text in its dialect of Lark,
//! which [`AnswerRules`] writes; what it cannot enforce is refused here by name, with its path, and never dropped.

mod answer;
mod blame;
mod calls;
mod formats;
mod lark;
mod literals;
mod schema;

pub use answer::{AnswerForm, AnswerRules, CallRules, ToolRule};
pub use schema::MAX_SCHEMA_BYTES;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};

use crate::tokenizer::{Specials, Tokenizer};

/// Longest text of a grammar (bytes), schemas within it included.
pub const MAX_GRAMMAR_BYTES: usize = 1 << 20;
/// Compiled grammars that are kept.
const N_CACHED: usize = 64;
/// Bytes of the texts of those that are kept.
const CACHED_BYTES: usize = 4 << 20;

/// Sets of tokens that are allowed or not at one look, beside the library's own, which are about strings in JSON: what wide
/// regular expressions are made of. Without them each of some ten thousand tokens is followed byte by byte, at every place
/// anew where the expression counts.
const PLAIN_SLICES: [&str; 4] = [
    "[a-z]{1,10}",
    "[a-zA-Z0-9 ]{1,10}",
    "[a-zA-Z0-9 ]{1,30}",
    // Of any script, without ASCII's marks.
    r"[^\x00-\x1F!-/:-@\[-`{-\x7F]{1,30}",
];

/// Why a grammar is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// A keyword, or its value, that cannot be enforced.
    #[error("has '{keyword}' at {path}, which cannot be enforced{hint}")]
    Keyword {
        /// The keyword.
        keyword: String,
        /// Where it stands, as a JSON pointer from the schema's root: `#/properties/a`.
        path: String,
        /// What would be right, with a separator before it; may be empty.
        hint: String,
    },
    /// A part that is not of the form that the specification asks for.
    #[error("{fault} at {path}")]
    Malformed {
        /// What is wrong.
        fault: String,
        /// Where, as a JSON pointer.
        path: String,
    },
    /// It does not compile.
    #[error("cannot be used: {0}")]
    Compile(String),
    /// It is longer than allowed.
    #[error("takes {len} bytes, more than the {limit} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
}

/// Compiles grammars for one model's tokens. Compiling keeps a thread busy, up to some tenths of a second.
pub struct GrammarCompiler {
    factory: ParserFactory,
    tokenizer: Arc<Tokenizer>,
    cache: Mutex<VecDeque<(String, Matcher)>>,
}

/// The tokens as the library wants them.
struct Tokens {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
    is_canonical: bool,
}

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let text = std::str::from_utf8(bytes).ok();
        let ids = text.and_then(|text| self.tokenizer.encode(text, Specials::AsText).ok());
        ids.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.is_canonical
    }
}

impl GrammarCompiler {
    /// Lays out the vocabulary; takes some tenths of a second for a large one.
    ///
    /// # Errors
    /// A vocabulary that the library does not take.
    pub fn new(tokenizer: Arc<Tokenizer>, end_tokens: &[u32]) -> Result<GrammarCompiler, GrammarError> {
        let failed = |error: &dyn std::fmt::Display| GrammarError::Compile(error.to_string());
        let n_vocab = u32::try_from(tokenizer.n_vocab()).map_err(|error| failed(&error))?;
        let words: Vec<Vec<u8>> = (0..n_vocab)
            .map(|id| {
                let bytes = tokenizer.token_bytes(id).unwrap_or_default();
                if tokenizer.is_special(id) || end_tokens.contains(&id) {
                    // The mark that parts special tokens from the same text written out.
                    [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
                } else {
                    bytes.to_vec()
                }
            })
            .collect();
        let Some(&end) = end_tokens.first() else {
            return Err(GrammarError::Compile("the model has no end token".to_owned()));
        };
        let trie = TokTrie::from(&TokRxInfo::new(n_vocab, end), &words).with_eos_tokens(end_tokens);
        let is_canonical = writes_what_it_reads(&tokenizer);
        let tokens = Tokens {
            trie,
            tokenizer: tokenizer.clone(),
            is_canonical,
        };
        let capabilities = InferenceCapabilities {
            ff_tokens: is_canonical,
            ..InferenceCapabilities::default()
        };
        let tokens: llguidance::toktrie::TokEnv = Arc::new(tokens);
        let mut slices = SlicedBiasComputer::json_slices();
        slices.extend(PLAIN_SLICES.map(str::to_owned));
        let mut factory =
            ParserFactory::new(&tokens, capabilities, &slices).map_err(|error| failed(&error))?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            initial_lexer_fuel: 400_000,
            max_grammar_size: 200_000,
            max_lexer_states: 30_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(GrammarCompiler {
            factory,
            tokenizer,
            cache: Mutex::default(),
        })
    }

    /// The tokens that a grammar in Lark allows. Blocks its thread.
    ///
    /// # Errors
    /// A grammar that does not compile within its limits.
    pub fn compile(&self, lark: &str) -> Result<GrammarMatcher, GrammarError> {
        if lark.len() > MAX_GRAMMAR_BYTES {
            return Err(GrammarError::TooLong {
                len: lark.len(),
                limit: MAX_GRAMMAR_BYTES,
            });
        }
        if let Some(matcher) = self.cached(lark) {
            return Ok(GrammarMatcher::new(matcher));
        }
        let grammar = TopLevelGrammar::from_lark(lark.to_owned());
        let parser = self.factory.create_parser(grammar).map_err(|error| {
            // The first line says what, the others quote the grammar.
            let message = format!("{error:#}");
            let line = message.lines().next().unwrap_or_default();
            GrammarError::Compile(line.chars().take(300).collect())
        })?;
        let mut matcher = Matcher::new(Ok(parser));
        // The first set of tokens fills caches that copies share.
        let _ = matcher.compute_mask();
        if let Some(error) = matcher.get_error() {
            return Err(GrammarError::Compile(
                error.lines().next().unwrap_or_default().to_owned(),
            ));
        }
        self.keep(lark, &matcher);
        Ok(GrammarMatcher::new(matcher))
    }

    /// A text of the model's own form: the special token that it is, or itself.
    fn mark(&self, text: &str) -> String {
        match self.tokenizer.token_id(text) {
            Some(id) if self.tokenizer.is_special(id) => format!("<[{id}]>"),
            _ => lark::quoted(text),
        }
    }

    fn is_special_mark(&self, text: &str) -> bool {
        self.mark(text).starts_with("<[")
    }

    fn cached(&self, lark: &str) -> Option<Matcher> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let idx = cache.iter().position(|(key, _)| key == lark)?;
        let entry = cache.remove(idx)?;
        let matcher = entry.1.deep_clone();
        cache.push_front(entry);
        Some(matcher)
    }

    fn keep(&self, lark: &str, matcher: &Matcher) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.push_front((lark.to_owned(), matcher.deep_clone()));
        while cache.len() > N_CACHED || cache.iter().map(|(key, _)| key.len()).sum::<usize>() > CACHED_BYTES {
            cache.pop_back();
        }
    }
}

/// Whether a text's tokens are just that text: some tokenizers put a space before it, and what they give for a piece of
/// an answer is not what the model would write there.
fn writes_what_it_reads(tokenizer: &Tokenizer) -> bool {
    let text = "{\"name\": \"x\"}";
    let Ok(ids) = tokenizer.encode(text, Specials::AsText) else {
        return false;
    };
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| tokenizer.token_bytes(id).unwrap_or_default())
        .copied()
        .collect();
    bytes == text.as_bytes()
}

/// Follows one answer through a grammar.
pub struct GrammarMatcher {
    matcher: Matcher,
    /// What may come next; worked out at most once for each place.
    allowed: Option<Vec<u32>>,
}

/// What may come next.
#[derive(Debug, PartialEq, Eq)]
pub enum Allowed<'m> {
    /// A set: bit `i % 32` of word `i / 32` stands for token `i`.
    Among(&'m [u32]),
    /// Nothing but the end.
    End,
    /// The matcher has failed; the text is for the log.
    Failed(String),
}

impl GrammarMatcher {
    fn new(matcher: Matcher) -> GrammarMatcher {
        GrammarMatcher {
            matcher,
            allowed: None,
        }
    }

    /// A second one at the same place.
    #[must_use]
    pub fn copy(&self) -> GrammarMatcher {
        GrammarMatcher::new(self.matcher.deep_clone())
    }

    /// Works out what [`GrammarMatcher::allowed`] will say.
    pub fn prepare(&mut self) {
        if self.allowed.is_none()
            && !self.matcher.is_stopped()
            && let Ok(mask) = self.matcher.compute_mask()
        {
            self.allowed = Some(mask.as_slice().to_vec());
        }
    }

    /// What may come next.
    pub fn allowed(&mut self) -> Allowed<'_> {
        self.prepare();
        if let Some(error) = self.matcher.get_error() {
            return Allowed::Failed(error.lines().next().unwrap_or_default().to_owned());
        }
        match &self.allowed {
            Some(allowed) => Allowed::Among(allowed),
            None => Allowed::End,
        }
    }

    /// A token came. False where the grammar does not allow it.
    pub fn accept(&mut self, token: u32) -> bool {
        self.allowed = None;
        self.matcher.consume_token(token).is_ok()
    }

    /// Tokens without alternative, which count as accepted.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.matcher.is_stopped() {
            return Vec::new();
        }
        let tokens = self.matcher.consume_ff_tokens();
        if !tokens.is_empty() {
            self.allowed = None;
        }
        tokens
    }
}

impl std::fmt::Debug for GrammarMatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrammarMatcher")
    }
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrammarCompiler")
    }
}
