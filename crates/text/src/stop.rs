//! Stop strings across chunk borders.
//!
//! Text arrives in pieces of any size. What is certainly not part of a stop string goes out at once; the longest
//! tail that may still become one is held back. Neither a stop string nor the beginning of one that completes is
//! ever let through.

/// More stop strings than this are refused.
pub const MAX_STOPS: usize = 64;
/// A longer stop string (bytes) is refused: it would have to be held back, text and all.
pub const MAX_STOP_BYTES: usize = 4096;

/// Why a list of stop strings is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StopError {
    /// An empty string would stop every answer before its first character.
    #[error("stop: string {index} is empty; give at least one character")]
    Empty {
        /// Position in the list.
        index: usize,
    },
    /// A stop string over [`MAX_STOP_BYTES`].
    #[error("stop: string {index} has {len} bytes, more than the {MAX_STOP_BYTES} allowed")]
    TooLong {
        /// Position in the list.
        index: usize,
        /// Its length in bytes.
        len: usize,
    },
    /// More than [`MAX_STOPS`] strings.
    #[error("stop: {count} strings, more than the {MAX_STOPS} allowed")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// What one push let through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// Text that is safe to emit.
    pub text: String,
    /// The stop string that ended the text, by its position in the list. Nothing after it is ever emitted.
    pub stop: Option<usize>,
}

/// Finds the first end of text among several stop strings while the text is still arriving.
///
/// The stop string that *completes* first wins; of two that complete at the same byte, the one that began first.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    needles: Vec<Needle>,
    /// How many bytes of each needle the text's end matches at present (its longest such prefix).
    matched: Vec<usize>,
    held: String,
    stopped: Option<usize>,
}

#[derive(Debug, Clone)]
struct Needle {
    bytes: Vec<u8>,
    /// `fallback[n]`: length of the longest proper prefix of the needle that is a suffix of its first `n` bytes.
    fallback: Vec<usize>,
}

impl Needle {
    fn new(text: &str) -> Needle {
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len() + 1];
        let mut len = 0;
        for n in 1..bytes.len() {
            while len > 0 && bytes[n] != bytes[len] {
                len = fallback[len];
            }
            len += usize::from(bytes[n] == bytes[len]);
            fallback[n + 1] = len;
        }
        Needle { bytes, fallback }
    }

    fn step(&self, mut matched: usize, byte: u8) -> usize {
        while matched > 0 && self.bytes[matched] != byte {
            matched = self.fallback[matched];
        }
        matched + usize::from(self.bytes[matched] == byte)
    }
}

impl StopMatcher {
    /// A matcher for these strings; none of them is fine and lets everything through.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<StopMatcher, StopError> {
        if stops.len() > MAX_STOPS {
            return Err(StopError::TooMany { count: stops.len() });
        }
        for (index, stop) in stops.iter().enumerate() {
            let len = stop.as_ref().len();
            if len == 0 {
                return Err(StopError::Empty { index });
            }
            if len > MAX_STOP_BYTES {
                return Err(StopError::TooLong { index, len });
            }
        }
        let needles: Vec<Needle> = stops.iter().map(|stop| Needle::new(stop.as_ref())).collect();
        Ok(StopMatcher {
            matched: vec![0; needles.len()],
            needles,
            held: String::new(),
            stopped: None,
        })
    }

    /// Takes the next piece of text and returns what may go out. After a stop, everything is swallowed.
    pub fn push(&mut self, piece: &str) -> Stopped {
        if self.stopped.is_some() {
            return Stopped {
                text: String::new(),
                stop: self.stopped,
            };
        }
        let from = self.held.len();
        self.held.push_str(piece);
        for at in from..self.held.len() {
            if let Some((needle_idx, start)) = self.step(at) {
                self.stopped = Some(needle_idx);
                self.held.truncate(start);
                return Stopped {
                    text: std::mem::take(&mut self.held),
                    stop: self.stopped,
                };
            }
        }
        let keep = self.matched.iter().copied().max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Stopped {
            text: std::mem::replace(&mut self.held, rest),
            stop: None,
        }
    }

    /// Feeds byte `at` of `held` to every needle; the earliest-begun needle that it completes, with its start.
    fn step(&mut self, at: usize) -> Option<(usize, usize)> {
        let byte = self.held.as_bytes()[at];
        let mut found: Option<(usize, usize)> = None;
        for (idx, needle) in self.needles.iter().enumerate() {
            self.matched[idx] = needle.step(self.matched[idx], byte);
            if self.matched[idx] == needle.bytes.len() {
                let start = at + 1 - needle.bytes.len();
                if found.is_none_or(|(_, best)| start < best) {
                    found = Some((idx, start));
                }
            }
        }
        found
    }

    /// The text has ended: returns what was held back (nothing after a stop).
    pub fn flush(&mut self) -> String {
        self.matched.fill(0);
        std::mem::take(&mut self.held)
    }
}
