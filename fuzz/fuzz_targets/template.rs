//! A stranger's chat template compiles and renders, or fails with an error: it never panics, hangs or takes much memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, json};
use tokenmill_text::{ChatTemplate, TemplateInput, TemplateTokens, Timestamp};

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::compile(source, TemplateTokens::default()) else { return };
    let conversation = TemplateInput {
        messages: vec![
            json!({"role": "system", "content": "Be brief."}),
            json!({"role": "user", "content": [{"type": "text", "text": "1 < 2 \u{e9}"}]}),
            json!({"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]}),
        ],
        tools: Some(vec![json!({"type": "function", "function": {"name": "f", "parameters": {}}})]),
        add_generation_prompt: true,
        extra: Map::new(),
        now: Timestamp { unix_seconds: 1_785_000_000 },
    };
    if let Ok(prompt) = template.render(&conversation) {
        let mut last = 0;
        for range in prompt.outside() {
            assert!(last <= range.start && range.start < range.end && range.end <= prompt.text().len());
            assert!(prompt.text().is_char_boundary(range.start) && prompt.text().is_char_boundary(range.end));
            last = range.end;
        }
    }
});
