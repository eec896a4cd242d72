//! Continuous batching over token ids.
//!
//! An [`Engine`] takes [`Submission`]s and gives each one's tokens to its [`Sink`]. All sequences share each forward
//! pass: one row for each that generates, and as much of the waiting prompts as the step's budget leaves. Keys and
//! values live in pages of 64 tokens, shared between sequences that begin alike.
//!
//! The same submission gives the same tokens whatever else runs, however its prompt is cut into steps, cached or not,
//! interrupted or not. So the engine has no clock, no randomness of its own, no IO and no async; it has never seen a
//! character. How long steps take it is told by a [`Stopwatch`], and only the size of steps depends on that. [`Stepper`] is the whole of it without the thread, for simulation; [`Engine`] is a thread around that.
//!
//! Read in this order: [`Submission`], [`Sink`], then `sequence`, `pages`, `prefix`, `cost`, `draft`, `draft_model`, `fairness`, `scheduler`, `step`, `sample`.

mod engine;
mod error;
mod logprobs;
mod mask;
mod options;
mod sink;
mod submission;

mod bans;
mod sequence;

mod pages;
mod prefix;

mod cost;
mod draft;
mod draft_model;
mod fairness;
mod scheduler;
mod stats;
mod step;

pub mod sample;

pub use engine::{Engine, Waker};
pub use error::{StartError, SubmitError, TooLong};
pub use logprobs::{MAX_TOP_LOGPROBS, TokenLogprobs};
pub use mask::{Next, TokenMask};
pub use options::{KvChoice, Options};
pub use sink::{Delivery, Finish, Output, Reason, Sink};
pub use stats::Stats;
pub use step::{LogitsObserver, Progress, Stepper, Stopwatch};
pub use submission::{Sampling, Submission};
