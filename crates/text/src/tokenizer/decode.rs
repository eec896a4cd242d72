//! Token ids to text while they arrive, never splitting a character.

use super::Tokenizer;

/// Turns ids into text piece by piece. Joined, the pieces equal `String::from_utf8_lossy` of all bytes together.
///
/// Special tokens give no text. An id outside the vocabulary gives none either.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    bytes: Utf8Assembler,
    /// Drop one leading space: the tokenizer put one before the text when it encoded.
    strip_space: bool,
    show_specials: bool,
    /// Special tokens that are shown all the same.
    shown: &'t [u32],
}

impl<'t> StreamDecoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer, strip_space: bool) -> StreamDecoder<'t> {
        StreamDecoder {
            tokenizer,
            bytes: Utf8Assembler::default(),
            strip_space,
            show_specials: false,
            shown: &[],
        }
    }

    /// Gives special tokens' text too, as parsers of tool calls and reasoning need it.
    #[must_use]
    pub fn with_specials(mut self) -> StreamDecoder<'t> {
        self.show_specials = true;
        self
    }

    /// Gives these special tokens' text, too: those that a parser must see.
    #[must_use]
    pub fn showing(mut self, ids: &'t [u32]) -> StreamDecoder<'t> {
        self.shown = ids;
        self
    }

    /// Takes the next id and returns the characters that it completes, perhaps none.
    pub fn push(&mut self, id: u32) -> String {
        if !self.show_specials && self.tokenizer.is_special(id) && !self.shown.contains(&id) {
            return String::new();
        }
        let Some(mut bytes) = self.tokenizer.token_bytes(id) else {
            return String::new();
        };
        if self.strip_space && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.strip_space = false;
        }
        self.bytes.push(bytes)
    }

    /// No more ids follow: an unfinished character becomes U+FFFD.
    pub fn flush(&mut self) -> String {
        self.bytes.flush()
    }
}

/// Bytes in, whole characters out; holds back at most the three bytes of an unfinished character.
#[derive(Debug, Clone, Default)]
struct Utf8Assembler {
    pending: Vec<u8>,
}

impl Utf8Assembler {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut taken = 0;
        loop {
            match std::str::from_utf8(&self.pending[taken..]) {
                Ok(rest) => {
                    text.push_str(rest);
                    taken = self.pending.len();
                    break;
                }
                Err(error) => {
                    let valid = &self.pending[taken..taken + error.valid_up_to()];
                    text.push_str(&String::from_utf8_lossy(valid));
                    taken += error.valid_up_to();
                    // Without a length the bytes may still become a character: wait.
                    let Some(len) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    taken += len;
                }
            }
        }
        self.pending.drain(..taken);
        text
    }

    fn flush(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}
