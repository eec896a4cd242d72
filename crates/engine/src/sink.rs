//! What a sequence's owner gives the engine to receive tokens. The engine has no channel type of its own and no async.

use crate::TokenLogprobs;

/// Where a sequence's outputs go. Called from the engine's thread between two forward passes: it must not block.
///
/// Every accepted submission gets exactly one [`Output::Finish`], and it is last; also a sink that is closed gets it,
/// so that what ran can be counted. When a sink that was full has room again, or becomes closed, its owner calls
/// [`crate::Waker::wake`]: the engine does not poll while it has nothing else to do.
pub trait Sink: Send {
    /// Takes one output. On [`Delivery::Full`] the engine keeps the output, pauses the sequence and delivers the same
    /// output again once there is room.
    fn deliver(&mut self, output: Output) -> Delivery;

    /// Whether the receiver is gone. The sequence's slot and pages are then free before the next forward pass.
    fn is_closed(&self) -> bool;

    /// Whether one more output would be accepted.
    fn has_room(&self) -> bool;
}

/// What became of a delivered output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Taken.
    Accepted,
    /// Not taken; it will be offered again.
    Full,
    /// Not taken and never will be: the receiver is gone.
    Closed,
}

/// One thing that happened to a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A token was generated.
    Token {
        /// Its id.
        id: u32,
        /// How likely it was, where the submission asked.
        logprobs: Option<Box<TokenLogprobs>>,
    },
    /// The sequence is over. Always last, exactly once.
    Finish(Finish),
}

/// How a sequence ended and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why it ended.
    pub reason: Reason,
    /// Tokens in the prompt.
    pub n_prompt: usize,
    /// Of these, tokens whose keys and values came from the prefix cache.
    pub n_cached: usize,
    /// Tokens generated, the end token included.
    pub n_generated: usize,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This end token was generated; it was not delivered.
    EndToken(u32),
    /// `max_tokens` were generated.
    Length,
    /// The mask of the sequence allows nothing more.
    Complete,
    /// The receiver is gone, or the engine shut down.
    Cancelled,
    /// The model gave logits that are not numbers, or the forward pass failed. A bug or broken weights, not the caller.
    Fault,
}
