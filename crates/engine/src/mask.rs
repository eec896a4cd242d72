//! What may come next in a sequence, decided by someone outside who knows what tokens mean.

/// Decides for one sequence. The engine declares what it needs and knows no one who provides it: it never sees a
/// character.
///
/// The calls go: [`TokenMask::forced`]; if that gave nothing, [`TokenMask::next`] (with [`TokenMask::prepare`] before it,
/// or not) and [`TokenMask::accept`]; and again. All of it must depend only on the tokens that came.
pub trait TokenMask: Send {
    /// Works out ahead what `next` will say. Called on another thread while the forward pass runs, so that the work
    /// costs no time of its own; leaving it out changes nothing but time.
    fn prepare(&mut self) {}

    /// What may come next.
    fn next(&mut self) -> Next<'_>;

    /// This token came; it is one that was allowed.
    fn accept(&mut self, token: u32);

    /// Tokens of which each is the only one that may come next. They count as accepted, and go through the model
    /// together, in one pass with the token after them.
    fn forced(&mut self) -> Vec<u32> {
        Vec::new()
    }
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'m> {
    /// Any token.
    Any,
    /// One of a set: bit `i % 32` of word `i / 32` stands for token `i`; words that are missing are zero.
    Among(&'m [u32]),
    /// Nothing: the sequence is complete.
    Nothing,
    /// The mask has failed, and so does the sequence.
    Failed,
}
