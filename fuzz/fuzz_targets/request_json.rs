//! Any bytes as the body of a chat request: taken, or refused with a short message; never a crash.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// A refusal names its fault; it does not throw the body back.
const MAX_MESSAGE_BYTES: usize = 1024;

fuzz_target!(|body: &[u8]| {
    if let Err(message) = tokenmill_gateway::check_chat_request(body) {
        assert!(
            !message.is_empty() && message.len() <= MAX_MESSAGE_BYTES,
            "{} bytes",
            message.len()
        );
    }
});
