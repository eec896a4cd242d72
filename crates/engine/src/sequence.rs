//! One request's tokens and how far they are: the noun that everything else uses.

use crate::bans::Bans;
use crate::draft::{Acceptance, Drafter};
use crate::fairness::Tenant;
use crate::mask::TokenMask;
use crate::prefix::{NodeId, Scope};
use crate::sample::History;
use crate::{Finish, Output, Reason, Sampling, Sink, Submission, TokenLogprobs};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokenmill_kernels::kv_cache::{PAGE_TOKENS, PageId};
use tokenmill_model::Adapter;

/// Counts submissions: a lower one came earlier. Decides who goes first and who yields.
pub(crate) type SequenceId = u64;

/// A sequence that waits or runs. All it needs to be continued after losing its pages is in `tokens`.
pub(crate) struct Sequence {
    pub(crate) id: SequenceId,
    /// The prompt, then what was generated.
    pub(crate) tokens: Vec<u32>,
    pub(crate) n_prompt: usize,
    /// Tokens whose keys and values are in the pages. Below `tokens.len()` until the sequence is over.
    pub(crate) n_computed: usize,
    /// Page `i` holds positions `64 i .. 64 i + 63`.
    pub(crate) pages: Vec<PageId>,
    /// The deepest of its pages that the prefix cache knows, and how many those are.
    pub(crate) tip: Option<NodeId>,
    pub(crate) n_shared_pages: usize,
    /// Prompt tokens that came from the prefix cache, not counting what it computed itself before an interruption.
    pub(crate) n_cached: usize,
    pub(crate) was_preempted: bool,
    pub(crate) max_tokens: usize,
    pub(crate) end_tokens: BTreeSet<u32>,
    pub(crate) bans: Bans,
    pub(crate) n_top_logprobs: Option<usize>,
    pub(crate) adapter: Option<Arc<Adapter>>,
    pub(crate) cache_scope: Scope,
    pub(crate) tenant: Tenant,
    pub(crate) priority: i8,
    /// How many rows all sequences had had when it last got some.
    pub(crate) last_turn: u64,
    pub(crate) sampling: Sampling,
    pub(crate) history: History,
    pub(crate) drafter: Drafter,
    /// How good the guesses of a draft model were.
    pub(crate) guessing: Acceptance,
    /// Whether `draft` is a draft model's.
    is_guessed_by_model: bool,
    /// What may come next, for the plan to take as much of as pays. Empty between steps.
    pub(crate) draft: Vec<u32>,
    pub(crate) mask: Option<Box<dyn TokenMask>>,
    pub(crate) owner: Owner,
}

/// A token that was chosen.
pub(crate) struct Choice {
    pub(crate) token: u32,
    /// Where the sequence asks for them.
    pub(crate) logprobs: Option<Box<TokenLogprobs>>,
}

impl Choice {
    /// A token that there was no choice about.
    pub(crate) fn forced(token: u32) -> Choice {
        Choice {
            token,
            logprobs: None,
        }
    }
}

/// A sink and what it has not taken yet.
pub(crate) struct Owner {
    sink: Box<dyn Sink>,
    /// At most one, or as many as a mask forced at once.
    undelivered: VecDeque<Output>,
    finish: Option<Finish>,
}

impl Sequence {
    pub(crate) fn new(id: SequenceId, submission: Submission, sink: Box<dyn Sink>) -> Sequence {
        let end_tokens = submission.end_token_set();
        let Submission {
            prompt,
            sampling,
            max_tokens,
            min_tokens,
            banned,
            n_top_logprobs,
            adapter,
            cache_scope: circle,
            tenant,
            priority,
            end_tokens: _,
        } = submission;
        Sequence {
            id,
            n_prompt: prompt.len(),
            history: History::new(&sampling, &prompt),
            tokens: prompt,
            n_computed: 0,
            pages: Vec::new(),
            tip: None,
            n_shared_pages: 0,
            n_cached: 0,
            was_preempted: false,
            max_tokens,
            end_tokens,
            bans: Bans::new(min_tokens, banned),
            n_top_logprobs,
            cache_scope: Scope {
                circle,
                adapter: adapter.as_ref().map(|adapter| *adapter.digest()),
            },
            adapter,
            tenant,
            priority,
            last_turn: 0,
            sampling,
            drafter: Drafter::default(),
            guessing: Acceptance::default(),
            is_guessed_by_model: false,
            draft: Vec::new(),
            mask: None,
            owner: Owner::new(sink),
        }
    }

    /// Whether its last token is computed, or will be after so many rows, so that another is chosen.
    pub(crate) fn is_next_chosen_after(&self, n_rows: usize) -> bool {
        n_rows > 0 && n_rows == self.n_missing()
    }

    /// What was generated so far.
    pub(crate) fn output(&self) -> &[u32] {
        &self.tokens[self.n_prompt..]
    }

    pub(crate) fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_prompt
    }

    /// Rows to compute before the next token can be chosen; 1 while generating.
    pub(crate) fn n_missing(&self) -> usize {
        self.tokens.len() - self.n_computed
    }

    /// Whether it is one step from its next token: a token or those that a mask forced, and no prompt, are missing.
    pub(crate) fn is_generating(&self) -> bool {
        self.n_missing() == 1 || (self.n_computed >= self.n_prompt && self.n_missing() <= MAX_FORCED)
    }

    /// Guesses what comes next. Nothing for a sequence with a mask, which may force tokens in between.
    pub(crate) fn guess(&mut self) {
        self.draft.clear();
        self.is_guessed_by_model = false;
        if self.wants_guesses() {
            self.draft = self.drafter.draft(&self.tokens, self.n_left() - 1);
        }
    }

    /// Tokens that it may still get.
    pub(crate) fn n_left(&self) -> usize {
        self.max_tokens - self.n_generated()
    }

    /// Whether guesses are of use and it has none.
    pub(crate) fn wants_guesses(&self) -> bool {
        self.draft.is_empty() && self.mask.is_none() && self.n_missing() == 1 && self.n_left() > 1
    }

    /// Whether its draft is a draft model's.
    pub(crate) fn is_guessed_by_model(&self) -> bool {
        self.is_guessed_by_model
    }

    /// Takes what a draft model guessed.
    pub(crate) fn take_guess(&mut self, draft: Vec<u32>) {
        self.draft = draft;
        self.is_guessed_by_model = !self.draft.is_empty();
    }

    /// How probably the first token of its draft is right.
    pub(crate) fn acceptance(&self) -> f64 {
        if self.is_guessed_by_model {
            self.guessing.get()
        } else {
            self.drafter.acceptance()
        }
    }

    /// Learns that of `n_drafted` tokens the first `n_accepted` were right.
    pub(crate) fn learn(&mut self, n_drafted: usize, n_accepted: usize) {
        if self.is_guessed_by_model {
            // Guesses that the plan had no room for say nothing.
            if n_drafted > 0 {
                self.guessing.learn(n_drafted, n_accepted);
            }
        } else {
            self.drafter.learn(n_drafted, n_accepted);
            self.guessing.learn(0, 0);
        }
    }

    /// The tokens whose keys and values may come from elsewhere: all but the last, whose row gives the logits.
    pub(crate) fn reusable_tokens(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// The tokens of the page after the shared ones, if there are enough to fill it.
    pub(crate) fn current_page(&self) -> Option<&[u32]> {
        let start = self.n_shared_pages * PAGE_TOKENS;
        self.tokens.get(start..start + PAGE_TOKENS)
    }

    /// The same, if nothing of that page is computed and another sequence's could stand in for all of it.
    pub(crate) fn next_shareable_page(&self) -> Option<&[u32]> {
        let is_untouched = self.n_computed == self.n_shared_pages * PAGE_TOKENS;
        let page_tokens = self.current_page().filter(|_| is_untouched)?;
        (self.n_computed + PAGE_TOKENS < self.tokens.len()).then_some(page_tokens)
    }

    /// The same, if all of that page is computed, so that others could share it.
    pub(crate) fn unshared_full_page(&self) -> Option<&[u32]> {
        self.current_page()
            .filter(|_| (self.n_shared_pages + 1) * PAGE_TOKENS <= self.n_computed)
    }

    /// Goes on behind a page of the prefix cache.
    pub(crate) fn share(&mut self, node: NodeId, page: PageId) {
        self.pages.push(page);
        self.n_computed += PAGE_TOKENS;
        self.n_shared_pages += 1;
        self.tip = Some(node);
    }

    /// Its own next page became known to the prefix cache, as `page`.
    pub(crate) fn replace_by_shared(&mut self, node: NodeId, page: PageId) {
        self.pages[self.n_shared_pages] = page;
        self.n_shared_pages += 1;
        self.tip = Some(node);
    }

    /// Counts tokens that came from the prefix cache.
    pub(crate) fn note_hit(&mut self, n_tokens: usize) {
        if !self.was_preempted {
            self.n_cached += n_tokens;
        }
    }

    /// Back to the state of one that waits; its pages were released.
    pub(crate) fn forget_pages(&mut self) {
        self.pages.clear();
        self.tip = None;
        self.n_shared_pages = 0;
        self.n_computed = 0;
    }

    /// Compares the lengths with each other.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Sequence {
            id,
            n_computed,
            n_shared_pages,
            ..
        } = self;
        if *n_computed >= self.tokens.len() || self.pages.len() != pages_for(*n_computed) {
            return Err(format!(
                "sequence {id} has computed {n_computed} of {} tokens in {} pages",
                self.tokens.len(),
                self.pages.len()
            ));
        }
        if n_shared_pages * PAGE_TOKENS > *n_computed || self.tip.is_some() != (*n_shared_pages > 0) {
            return Err(format!(
                "sequence {id} shares {n_shared_pages} pages, but has computed {n_computed} tokens"
            ));
        }
        Ok(())
    }

    /// Takes the token that was chosen. Some reason when it is the last one.
    pub(crate) fn push(&mut self, choice: Choice) -> Option<Reason> {
        let Choice { token, logprobs } = choice;
        self.tokens.push(token);
        self.history.push(token);
        if self.end_tokens.contains(&token) {
            return Some(Reason::EndToken(token));
        }
        self.owner.deliver(Output::Token { id: token, logprobs });
        (self.n_generated() >= self.max_tokens).then_some(Reason::Length)
    }

    pub(crate) fn finish(mut self, reason: Reason) -> Owner {
        let finish = Finish {
            reason,
            n_prompt: self.n_prompt,
            n_cached: self.n_cached,
            n_generated: self.n_generated(),
        };
        self.owner.finish(finish);
        self.owner
    }
}

impl Owner {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Owner {
        Owner {
            sink,
            undelivered: VecDeque::new(),
            finish: None,
        }
    }

    /// Whether the sequence may go on: everything so far was taken and one more would be.
    pub(crate) fn has_room(&self) -> bool {
        self.undelivered.is_empty() && self.sink.has_room()
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sink.is_closed()
    }

    /// Whether nothing is left to say.
    pub(crate) fn is_done(&self) -> bool {
        self.undelivered.is_empty() && self.finish.is_none()
    }

    /// Offers again what was not taken.
    pub(crate) fn flush(&mut self) {
        while let Some(output) = self.undelivered.front() {
            if self.sink.deliver(output.clone()) == crate::Delivery::Full {
                return;
            }
            self.undelivered.pop_front();
        }
        if let Some(finish) = self.finish.take() {
            self.finish(finish);
        }
    }

    fn deliver(&mut self, output: Output) {
        if !self.undelivered.is_empty() || self.sink.deliver(output.clone()) == crate::Delivery::Full {
            self.undelivered.push_back(output);
        }
    }

    fn finish(&mut self, finish: Finish) {
        if self.is_closed() {
            // Nobody will take it, yet whoever counts hears how it ended.
            self.undelivered.clear();
            self.sink.deliver(Output::Finish(finish));
        } else if !self.undelivered.is_empty()
            || self.sink.deliver(Output::Finish(finish)) == crate::Delivery::Full
        {
            self.finish = Some(finish);
        }
    }

    /// Says goodbye to an owner whose engine ends: what it has no room for now is lost.
    pub(crate) fn finish_now(mut self) {
        self.flush();
    }
}

/// Forced tokens up to so many go before prompts.
const MAX_FORCED: usize = 16;

/// Pages that `n_tokens` tokens take.
pub(crate) fn pages_for(n_tokens: usize) -> usize {
    n_tokens.div_ceil(PAGE_TOKENS)
}
