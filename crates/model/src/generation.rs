//! What a model's files say about how it wants to be sampled.

/// Sampling defaults that a model's files ask for. `None` where they say nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Softmax temperature, at least 0. Zero where the files say `do_sample: false`.
    pub temperature: Option<f32>,
    /// Nucleus mass in (0, 1].
    pub top_p: Option<f32>,
    /// Candidates kept; 0 keeps all.
    pub top_k: Option<u32>,
    /// Least probability relative to the best, in [0, 1].
    pub min_p: Option<f32>,
    /// Divides the logits of tokens already seen; above 0, and 1 does nothing.
    pub repetition_penalty: Option<f32>,
    /// Tokens that end an answer, sorted, without repeats.
    pub eos_token_ids: Vec<u32>,
}

impl GenerationDefaults {
    /// Drops what no sampler could use, and puts the end tokens in order. Defaults are advice: a file whose advice is
    /// nonsense is served without it.
    pub(crate) fn normalise(&mut self) {
        self.temperature = self
            .temperature
            .filter(|&temperature| (0.0..=100.0).contains(&temperature));
        self.top_p = self.top_p.filter(|&top_p| top_p > 0.0 && top_p <= 1.0);
        self.min_p = self.min_p.filter(|&min_p| (0.0..=1.0).contains(&min_p));
        self.repetition_penalty = self
            .repetition_penalty
            .filter(|&penalty| penalty > 0.0 && penalty <= 100.0);
        self.eos_token_ids.sort_unstable();
        self.eos_token_ids.dedup();
    }
}
