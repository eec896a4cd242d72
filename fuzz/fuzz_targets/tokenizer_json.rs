//! A tokenizer from a stranger's `tokenizer.json` is refused or works: it never panics, hangs or takes much memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenmill_text::{Specials, Tokenizer};

const TEXT: &str = "Hello  world's <|end|> 123\n\n\u{e9}\u{4f60}\u{597d} \u{1f389}\u{0} a\u{301}";

fuzz_target!(|data: &[u8]| {
    // What stands behind a zero byte is text to encode with it.
    let (json, text) = match data.iter().position(|&byte| byte == 0) {
        Some(at) => (&data[..at], String::from_utf8_lossy(&data[at + 1..]).into_owned()),
        None => (data, TEXT.to_owned()),
    };
    let Ok(tokenizer) = Tokenizer::from_hf(json, None) else { return };
    for specials in [Specials::Parse, Specials::AsText] {
        let Ok(ids) = tokenizer.encode(&text, specials) else { continue };
        let mut decoder = tokenizer.decoder();
        for id in ids {
            assert!((id as usize) < tokenizer.n_vocab());
            decoder.push(id);
        }
        decoder.flush();
    }
});
