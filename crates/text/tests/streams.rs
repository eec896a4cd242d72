//! Text that streams: pieces joined equal the whole, whatever the borders.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

use proptest::prelude::*;
use tokenmill_text::{GgufVocab, Specials, StopMatcher, Tokenizer};

/// A vocabulary of all single bytes and some longer tokens that cut characters in two.
fn bytes_tokenizer() -> Tokenizer {
    let mut tokens: Vec<String> = (0..=255u8).map(|byte| format!("<0x{byte:02X}>")).collect();
    tokens.extend(["▁".into(), "▁a".into(), "é".into(), "你好".into(), "<unk>".into()]);
    let mut token_types = vec![6; 256];
    token_types.extend([1, 1, 1, 1, 2]);
    let scores = (0..tokens.len()).map(|idx| -(idx as f32)).collect();
    let vocab = GgufVocab {
        model: "llama".into(),
        tokens,
        token_types,
        scores,
        unk: Some(260),
        ..GgufVocab::default()
    };
    Tokenizer::from_gguf(GgufVocab {
        add_space_prefix: Some(false),
        ..vocab
    })
    .unwrap()
}

/// The slow obvious twin: the whole text so far is searched after every byte.
fn first_stop(text: &str, stops: &[String]) -> Option<(usize, usize)> {
    for end in 1..=text.len() {
        let found = stops
            .iter()
            .enumerate()
            .filter(|(_, stop)| text.as_bytes()[..end].ends_with(stop.as_bytes()));
        if let Some((idx, stop)) = found.max_by_key(|(idx, stop)| (stop.len(), std::cmp::Reverse(*idx))) {
            return Some((idx, end - stop.len()));
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoded_pieces_joined_are_the_whole_decoded(ids in proptest::collection::vec(0u32..262, 0..40)) {
        let tokenizer = bytes_tokenizer();
        let mut decoder = tokenizer.decoder();
        let mut bytes = Vec::new();
        let mut joined = String::new();
        for &id in &ids {
            joined.push_str(&decoder.push(id));
            if !tokenizer.is_special(id) {
                bytes.extend_from_slice(tokenizer.token_bytes(id).unwrap_or_default());
            }
        }
        joined.push_str(&decoder.flush());
        prop_assert_eq!(joined, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_comes_back_from_its_ids(text in "\\PC*|[ \\na-c\u{e9}\u{4f60}\u{597d}\u{1f389}\u{0}]*") {
        let tokenizer = bytes_tokenizer();
        // The sign for a space stands for one when it is decoded, as everywhere that uses it.
        let want = text.replace('▁', " ");
        let mut decoder = tokenizer.decoder();
        let mut back: String =
            tokenizer.encode(&text, Specials::AsText).unwrap().into_iter().map(|id| decoder.push(id)).collect();
        back.push_str(&decoder.flush());
        prop_assert_eq!(back, want);
    }

    #[test]
    fn stops_are_found_as_in_the_whole_text_for_every_split(
        text in "[ab\u{e9}]{0,24}",
        stops in proptest::collection::vec("[ab\u{e9}]{1,4}", 0..4),
        cuts in proptest::collection::vec(0usize..24, 0..6),
    ) {
        let mut matcher = StopMatcher::new(&stops).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| text.is_char_boundary(cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut emitted = String::new();
        let mut stop = None;
        for pair in cuts.windows(2) {
            let pushed = matcher.push(&text[pair[0]..pair[1]]);
            emitted.push_str(&pushed.text);
            stop = pushed.stop;
            // Nothing that may still be the beginning of a stop is out, and nothing else is held back.
            if stop.is_none() {
                let so_far = &text[..pair[1]];
                let longest = stops.iter().flat_map(|stop| (1..stop.len()).map(move |len| &stop.as_bytes()[..len]))
                    .filter(|head| so_far.as_bytes().ends_with(head)).map(<[u8]>::len).max().unwrap_or(0);
                prop_assert_eq!(emitted.len(), so_far.len() - longest);
            }
        }
        let (want_stop, want) = match first_stop(&text, &stops) {
            Some((idx, at)) => (Some(idx), &text[..at]),
            None => (None, text.as_str()),
        };
        emitted.push_str(&matcher.flush());
        prop_assert_eq!(stop, want_stop);
        prop_assert_eq!(emitted, want);
        prop_assert!(matcher.push("more").text.is_empty() == want_stop.is_some() || want_stop.is_none());
    }
}

#[test]
fn what_cannot_be_a_stop_is_refused_by_name() {
    assert!(
        StopMatcher::new(&["a", ""])
            .unwrap_err()
            .to_string()
            .contains("string 1 is empty")
    );
    assert!(
        StopMatcher::new(&["x".repeat(5000)])
            .unwrap_err()
            .to_string()
            .contains("5000")
    );
    assert!(
        StopMatcher::new(&vec!["x"; 65])
            .unwrap_err()
            .to_string()
            .contains("65")
    );
    assert_eq!(StopMatcher::new::<&str>(&[]).unwrap().push("all").text, "all");
}
