//! Numbers about an engine.

/// Numbers about an engine. Those in the first group are of the moment, the others count from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sequences that have a place in the forward pass.
    pub running: usize,
    /// Sequences that wait for one.
    pub waiting: usize,
    /// Finished sequences whose sinks have not taken everything yet.
    pub leaving: usize,
    /// Pages there are: used, cached and free ones.
    pub pages_total: usize,
    /// Pages held by running sequences.
    pub pages_used: usize,
    /// Pages kept for prompts that begin alike, and given up when needed.
    pub pages_cached: usize,
    /// Pages that hold nothing.
    pub pages_free: usize,

    /// Forward passes.
    pub steps: u64,
    /// Rows computed to read prompts, repeated ones after a preemption included.
    pub tokens_prefilled: u64,
    /// Tokens generated.
    pub tokens_decoded: u64,
    /// Tokens that were guessed and verified, and of these, those that were right and saved a pass each.
    pub tokens_drafted: u64,
    /// See `tokens_drafted`.
    pub tokens_accepted: u64,
    /// Of the verified ones, those that a draft model guessed.
    pub tokens_drafted_by_model: u64,
    /// Tokens whose keys and values were found in the prefix cache.
    pub prefix_hit_tokens: u64,
    /// Sequences that lost their pages to others and were queued again.
    pub preemptions: u64,
    /// Sequences that ended, by whatever reason.
    pub finished: u64,
    /// Of these, ended because the receiver was gone or the engine shut down.
    pub cancelled: u64,
    /// Of these, ended by a fault of the model.
    pub faults: u64,
}
