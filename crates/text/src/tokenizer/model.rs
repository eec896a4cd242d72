//! A word to token ids: byte-pair encoding by merge rank, or SentencePiece-style by token score.

use hashbrown::HashMap;

use super::alphabet;
use super::merge::{Merge, NO_TOKEN, Symbol, merge};
use super::vocab::Vocab;

/// How a word becomes ids.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) start: Start,
    pub(super) rules: Rules,
    /// A word that is a token as it stands is not split at all.
    pub(super) whole_words: WholeWords,
    /// `<0x00>` to `<0xFF>`, for characters that the vocabulary lacks.
    pub(super) byte_fallback: Option<Box<[u32; 256]>>,
    /// For what even bytes cannot say; without it such text is dropped, as the reference tokenizers do.
    pub(super) unk: Option<u32>,
    /// Several unknown characters in a row become one unknown token.
    pub(super) fuse_unk: bool,
}

/// The symbols that merging starts from.
#[derive(Debug)]
pub(super) enum Start {
    /// Bytes, with the id of each (or [`NO_TOKEN`]).
    Bytes(Box<[u32; 256]>),
    /// Characters.
    Chars,
}

/// Which neighbours merge, and in what order.
#[derive(Debug)]
pub(super) enum Rules {
    /// By the rank of a listed pair: (left, right) to merge.
    Ranks(HashMap<(u32, u32), Merge>),
    /// By the score of the token that both together spell: priority by id.
    Scores(Vec<u32>),
}

/// Which words are taken whole if they are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WholeWords {
    /// None: every word is merged from its symbols.
    None,
    /// Every word.
    All,
    /// Runs of newlines.
    Newlines,
}

/// Buffers that are reused from word to word.
#[derive(Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    surface: String,
}

/// A priority that puts higher scores first.
pub(super) fn priority_of_score(score: f32) -> u32 {
    let bits = score.to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

impl Model {
    /// Appends the ids of one word.
    pub(super) fn encode_word(&self, vocab: &Vocab, word: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if let Some(id) = self.whole_word(vocab, word, scratch) {
            ids.push(id);
            return;
        }
        let symbols = &mut scratch.symbols;
        symbols.clear();
        match &self.start {
            Start::Bytes(of_byte) => symbols.extend(word.bytes().zip(0..).map(|(byte, start)| Symbol {
                id: of_byte[usize::from(byte)],
                start,
                end: start + 1,
            })),
            Start::Chars => symbols.extend(word.char_indices().map(|(start, char)| {
                let end = start + char.len_utf8();
                Symbol {
                    id: vocab.id(&word[start..end]).unwrap_or(NO_TOKEN),
                    start: start as u32,
                    end: end as u32,
                }
            })),
        }
        match &self.rules {
            Rules::Ranks(ranks) => {
                merge(symbols, |left, right| ranks.get(&(left.id, right.id)).copied());
            }
            Rules::Scores(priorities) => merge(symbols, |left, right| {
                let id = vocab.id(&word[left.start as usize..right.end as usize])?;
                Some(Merge {
                    priority: *priorities.get(id as usize)?,
                    id,
                })
            }),
        }
        self.emit(word, symbols, ids);
    }

    fn whole_word(&self, vocab: &Vocab, word: &str, scratch: &mut Scratch) -> Option<u32> {
        match self.whole_words {
            WholeWords::None => None,
            WholeWords::Newlines => word
                .bytes()
                .all(|byte| byte == b'\n')
                .then(|| vocab.id(word))
                .flatten(),
            WholeWords::All if matches!(self.start, Start::Chars) => vocab.id(word),
            WholeWords::All => {
                alphabet::surface_of_bytes(word.as_bytes(), &mut scratch.surface);
                vocab.id(&scratch.surface)
            }
        }
    }

    fn emit(&self, word: &str, symbols: &[Symbol], ids: &mut Vec<u32>) {
        let mut after_unk = false;
        for symbol in symbols {
            if symbol.id != NO_TOKEN {
                ids.push(symbol.id);
                after_unk = false;
            } else if let Some(bytes) = &self.byte_fallback {
                let text = word.as_bytes().get(symbol.range()).unwrap_or_default();
                ids.extend(text.iter().map(|&byte| bytes[usize::from(byte)]));
                after_unk = false;
            } else if let Some(unk) = self.unk {
                if !(after_unk && self.fuse_unk) {
                    ids.push(unk);
                }
                after_unk = true;
            }
        }
    }
}
