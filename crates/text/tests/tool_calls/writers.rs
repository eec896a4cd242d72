//! How models write calls, format by format: the other way round, for tests.

use serde_json::Value;

fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("'{key}': {}", python(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => {
            let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
            format!("'{}'", escaped.replace('\n', "\\n").replace('\t', "\\t"))
        }
        number @ Value::Number(_) => number.to_string(),
    }
}

fn gemma(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<|\"|>{text}<|\"|>"),
        Value::Array(items) => format!("[{}]", items.iter().map(gemma).collect::<Vec<_>>().join(",")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{key}:{}", gemma(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Each argument through `write`, given its name, its value as plain text or JSON, and whether it is text.
fn each(arguments: &Value, write: impl Fn(&str, &str, bool) -> String) -> String {
    let entries = arguments.as_object().expect("an object");
    entries
        .iter()
        .map(|(key, value)| write(key, &plain(value), value.is_string()))
        .collect()
}

/// How a model of this format writes these calls.
#[expect(clippy::too_many_lines, reason = "one arm for each format")]
pub(super) fn written(format: &str, calls: &[(&str, Value)], is_start: bool) -> String {
    let objects = |key: &str| -> Vec<String> {
        let object =
            |(name, arguments): &(&str, Value)| format!("{{\"name\": \"{name}\", \"{key}\": {arguments}}}");
        calls.iter().map(object).collect()
    };
    let every = |write: &dyn Fn(usize, &str, &Value) -> String| -> String {
        let calls = calls.iter().enumerate();
        calls
            .map(|(idx, (name, arguments))| write(idx, name, arguments))
            .collect()
    };
    match format {
        "hermes" => objects("arguments")
            .iter()
            .map(|call| format!("\n<tool_call>\n{call}\n</tool_call>"))
            .collect(),
        "qwen3_coder" => every(&|_, name, arguments| {
            let body = each(arguments, |key, value, _| {
                format!("<parameter={key}>\n{value}\n</parameter>\n")
            });
            format!("\n<tool_call>\n<function={name}>\n{body}</function>\n</tool_call>")
        }),
        "llama3_json" => {
            let tag = if is_start { "" } else { "<|python_tag|>" };
            format!("{tag}{}", objects("parameters").join("; "))
        }
        "llama4_pythonic" => {
            let call = |(name, arguments): &(&str, Value)| {
                let entries = arguments.as_object().expect("an object").iter();
                let arguments = entries.map(|(key, value)| format!("{key}={}", python(value)));
                format!("{name}({})", arguments.collect::<Vec<_>>().join(", "))
            };
            let list = calls.iter().map(call).collect::<Vec<_>>().join(", ");
            if is_start {
                format!("[{list}]")
            } else {
                format!("<|python_start|>[{list}]<|python_end|>")
            }
        }
        "mistral" => format!("[TOOL_CALLS][{}]", objects("arguments").join(", ")),
        "mistral_named" => every(&|idx, name, arguments| match idx % 2 {
            0 => format!("[TOOL_CALLS]{name}[ARGS]{arguments}"),
            _ => format!("[TOOL_CALLS]{name}[CALL_ID]abcdefghi[ARGS]{arguments}"),
        }),
        "deepseek_v31" => {
            let calls = every(&|_, name, arguments| {
                format!("<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>")
            });
            format!("<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>")
        }
        "deepseek_v4" => {
            let calls = every(&|_, name, arguments| {
                let body = each(arguments, |key, value, is_text| {
                    format!(
                        "<｜DSML｜parameter name=\"{key}\" string=\"{is_text}\">{value}</｜DSML｜parameter>\n"
                    )
                });
                format!("<｜DSML｜invoke name=\"{name}\">\n{body}</｜DSML｜invoke>\n")
            });
            format!("\n\n<｜DSML｜tool_calls>\n{calls}</｜DSML｜tool_calls>")
        }
        "kimi_k2" => {
            let calls = every(&|idx, name, arguments| {
                format!(
                    "<|tool_call_begin|>functions.{name}:{idx}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
                )
            });
            format!("<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>")
        }
        "glm4" => every(&|_, name, arguments| {
            let body = each(arguments, |key, value, _| {
                format!("<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n")
            });
            format!("\n<tool_call>{name}\n{body}</tool_call>")
        }),
        "minimax_m2" => {
            let calls = every(&|_, name, arguments| {
                let body = each(arguments, |key, value, _| {
                    format!("<parameter name=\"{key}\">{value}</parameter>\n")
                });
                format!("<invoke name=\"{name}\">\n{body}</invoke>\n")
            });
            format!("\n<minimax:tool_call>\n{calls}</minimax:tool_call>")
        }
        "gemma4" => {
            every(&|_, name, arguments| format!("<|tool_call>call:{name}{}<tool_call|>", gemma(arguments)))
        }
        "phi4" => format!("<|tool_call|>[{}]<|/tool_call|>", objects("arguments").join(", ")),
        "nemotron" => format!("<TOOLCALL>[{}]</TOOLCALL>", objects("arguments").join(", ")),
        "harmony" => every(&|_, name, arguments| {
            format!(
                "<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
            )
        }),
        other => panic!("say how a model writes calls of the new format '{other}'"),
    }
}
