//! Names of calls.

use tokenmill_engine::sample::random;
use tokenmill_text::tool_calls::{IdStyle, ToolFormat};

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Names the calls of one choice, the same ones for the same request and seed; another turn of the same conversation,
/// whose prompt is longer, has others.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallIds {
    style: IdStyle,
    seed: u64,
}

impl CallIds {
    pub(super) fn new(format: Option<&ToolFormat>, seed: u64, n_prompt: usize) -> CallIds {
        CallIds {
            style: format.map_or(IdStyle::Call, |format| format.ids),
            seed: random(seed, n_prompt as u64),
        }
    }

    /// The name of one call.
    pub(super) fn id(&self, index: usize, function: &str) -> String {
        match self.style {
            IdStyle::Call => format!("call_{}", self.letters(index, 24)),
            IdStyle::Nine => self.letters(index, 9),
            IdStyle::Indexed => format!("functions.{function}:{index}"),
        }
    }

    fn letters(&self, index: usize, n: usize) -> String {
        let letter = |at: usize| {
            let bits = random(self.seed, (index * 64 + at) as u64);
            char::from(LETTERS[(bits % LETTERS.len() as u64) as usize])
        };
        (0..n).map(letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_for_the_same_and_others_for_others() {
        let mistral = ToolFormat::named("mistral");
        let of = |format, seed, n_prompt, index| CallIds::new(format, seed, n_prompt).id(index, "f");
        assert_eq!(of(None, 1, 10, 0), of(None, 1, 10, 0));
        assert_ne!(of(None, 1, 10, 0), of(None, 1, 10, 1));
        assert_ne!(of(None, 1, 10, 0), of(None, 1, 11, 0));
        assert_eq!(of(mistral, 1, 10, 0).len(), 9);
        assert_eq!(of(ToolFormat::named("kimi_k2"), 1, 10, 2), "functions.f:2");
    }
}
