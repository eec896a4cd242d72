//! What the engine asks at each token of an answer: a grammar, and a bound for thinking.

use std::sync::Arc;

use tokenmill_engine::{Next, TokenMask};
use tokenmill_text::Tokenizer;
use tokenmill_text::grammar::{Allowed, GrammarMatcher};

/// Decides on the tokens of one answer.
pub(super) struct AnswerMask {
    tokenizer: Arc<Tokenizer>,
    thinking: Option<ThinkingWatch>,
    grammar: Option<GrammarMatcher>,
    /// Tokens that must come before anything else.
    pending: Vec<u32>,
    /// What may come next, where that is one token.
    single: Vec<u32>,
    has_failed: bool,
}

/// Watches thinking that the prompt has opened.
#[derive(Clone)]
pub(super) struct ThinkingWatch {
    /// The closing mark.
    pub(super) close: Vec<u8>,
    /// What closes the thinking where the bound does.
    pub(super) closing_tokens: Vec<u32>,
    /// What stands between the mark and the answer.
    pub(super) gap_tokens: Vec<u32>,
    /// At most so many tokens of thinking.
    pub(super) max_tokens: Option<u32>,
    /// The end of what came, which may be the mark's beginning.
    pub(super) tail: Vec<u8>,
    pub(super) n_tokens: u32,
}

impl AnswerMask {
    pub(super) fn new(
        tokenizer: Arc<Tokenizer>,
        thinking: Option<ThinkingWatch>,
        grammar: Option<GrammarMatcher>,
    ) -> AnswerMask {
        AnswerMask {
            tokenizer,
            thinking,
            grammar,
            pending: Vec::new(),
            single: Vec::new(),
            has_failed: false,
        }
    }

    /// A token of thinking came. What follows the closing mark within the same token is the answer's.
    fn think(&mut self, token: u32) {
        let Some(thinking) = &mut self.thinking else {
            return;
        };
        thinking.n_tokens += 1;
        thinking
            .tail
            .extend_from_slice(self.tokenizer.token_bytes(token).unwrap_or_default());
        let len = thinking.close.len();
        let place = thinking
            .tail
            .windows(len)
            .position(|window| window == thinking.close);
        if let Some(place) = place {
            let rest = thinking.tail.split_off(place + len);
            let gap = std::mem::take(&mut thinking.gap_tokens);
            self.thinking = None;
            self.begin_answer(&rest, gap);
            return;
        }
        let n_over = thinking.tail.len().saturating_sub(len - 1);
        thinking.tail.drain(..n_over);
        if thinking.max_tokens.is_some_and(|max| thinking.n_tokens >= max) {
            self.pending.clone_from(&thinking.closing_tokens);
        }
    }

    fn begin_answer(&mut self, rest: &[u8], gap: Vec<u32>) {
        let Some(grammar) = &mut self.grammar else { return };
        let words = rest.trim_ascii_start();
        if rest.is_empty() {
            self.pending = gap;
        } else if !words.is_empty() {
            // A token that holds the mark's end and the answer's beginning; seldom are there such.
            let text = String::from_utf8_lossy(words).into_owned();
            let ids = self.tokenizer.encode(&text, tokenmill_text::Specials::AsText);
            self.has_failed |= !ids.is_ok_and(|ids| ids.iter().all(|&id| grammar.accept(id)));
        }
    }
}

impl TokenMask for AnswerMask {
    fn prepare(&mut self) {
        if self.thinking.is_none()
            && self.pending.is_empty()
            && let Some(grammar) = &mut self.grammar
        {
            grammar.prepare();
        }
    }

    fn next(&mut self) -> Next<'_> {
        if self.has_failed {
            return Next::Failed;
        }
        if let Some(&token) = self.pending.first() {
            self.single.clear();
            self.single.resize(token as usize / 32 + 1, 0);
            self.single[token as usize / 32] = 1 << (token % 32);
            return Next::Among(&self.single);
        }
        match &mut self.grammar {
            Some(grammar) if self.thinking.is_none() => match grammar.allowed() {
                Allowed::Among(allowed) => Next::Among(allowed),
                Allowed::End => Next::Nothing,
                Allowed::Failed(_) => Next::Failed,
            },
            _ => Next::Any,
        }
    }

    fn accept(&mut self, token: u32) {
        if self.pending.first() == Some(&token) {
            self.pending.remove(0);
            if self.thinking.is_some() {
                self.close_if_written(token);
            }
        } else if self.thinking.is_some() {
            self.think(token);
        } else if let Some(grammar) = &mut self.grammar {
            self.has_failed |= !grammar.accept(token);
        }
    }

    fn forced(&mut self) -> Vec<u32> {
        if self.has_failed {
            return Vec::new();
        }
        let mut tokens = Vec::new();
        while !self.pending.is_empty() {
            let token = self.pending[0];
            tokens.push(token);
            self.accept(token);
        }
        if self.thinking.is_none()
            && let Some(grammar) = &mut self.grammar
        {
            tokens.extend(grammar.forced());
        }
        tokens
    }
}

impl AnswerMask {
    /// One of the tokens that close the thinking came.
    fn close_if_written(&mut self, token: u32) {
        let Some(thinking) = &mut self.thinking else {
            return;
        };
        thinking
            .tail
            .extend_from_slice(self.tokenizer.token_bytes(token).unwrap_or_default());
        let len = thinking.close.len();
        if thinking.tail.windows(len).any(|window| window == thinking.close) {
            // What follows the mark among these tokens is the gap.
            self.thinking = None;
        }
    }
}

/// The mask of one answer; none where anything may come.
pub(super) fn mask(
    tokenizer: &Arc<Tokenizer>,
    thinking: Option<&ThinkingWatch>,
    grammar: Option<&GrammarMatcher>,
) -> Option<Box<dyn TokenMask>> {
    if thinking.is_none() && grammar.is_none() {
        return None;
    }
    let grammar = grammar.map(GrammarMatcher::copy);
    Some(Box::new(AnswerMask::new(
        tokenizer.clone(),
        thinking.cloned(),
        grammar,
    )))
}
