//! `{"name": "f", "arguments": {…}}`: keys in any order, others beside them.

use super::calls::Calls;
use super::json::{Fed, JsonScan};

/// Reads one call that is a JSON object.
#[derive(Debug)]
pub(super) struct ObjectCall {
    /// The keys that may hold the arguments.
    argument_keys: &'static [&'static str],
    at: At,
    name: Option<String>,
    /// Whether the name has been handed on.
    has_begun: bool,
    has_arguments: bool,
    /// Arguments that came before the name.
    early: String,
}

#[derive(Debug)]
enum At {
    Open,
    /// A key, or the end where the object is empty so far.
    Key {
        may_end: bool,
    },
    /// Inside a key; its text with quotes.
    KeyText(JsonScan, String),
    Colon(String),
    /// Before the first character of a value.
    ValueStart(String),
    /// The arguments, handed on as they come.
    Arguments(JsonScan),
    /// Any other value; its text.
    Value {
        key: String,
        scan: JsonScan,
        text: String,
    },
    After,
}

impl ObjectCall {
    pub(super) fn new(argument_keys: &'static [&'static str]) -> ObjectCall {
        ObjectCall {
            argument_keys,
            at: At::Open,
            name: None,
            has_begun: false,
            has_arguments: false,
            early: String::new(),
        }
    }

    pub(super) fn feed(&mut self, c: char, calls: &mut Calls) -> Fed {
        let is_space = c.is_ascii_whitespace();
        match &mut self.at {
            At::Open => self.go_if(c == '{', At::Key { may_end: true }),
            At::Key { .. } | At::Colon(_) | At::ValueStart(_) | At::After if is_space => Fed::More,
            At::Key { may_end: true } if c == '}' => self.close(calls),
            At::Key { .. } => {
                let mut scan = JsonScan::new();
                scan.feed(c);
                self.go_if(c == '"', At::KeyText(scan, "\"".to_owned()))
            }
            At::KeyText(scan, text) => {
                let fed = scan.feed(c);
                text.push(c);
                match fed {
                    Fed::Done => match serde_json::from_str(text) {
                        Ok(key) => self.go(At::Colon(key)),
                        Err(_) => Fed::Broken,
                    },
                    other => other,
                }
            }
            At::Colon(key) => {
                let key = std::mem::take(key);
                self.go_if(c == ':', At::ValueStart(key))
            }
            At::ValueStart(key) => {
                let key = std::mem::take(key);
                self.begin_value(key, c, calls)
            }
            At::Arguments(scan) => {
                let fed = scan.feed(c);
                if fed != Fed::Broken {
                    self.pass(c, calls);
                }
                match fed {
                    Fed::Done => self.go(At::After),
                    other => other,
                }
            }
            At::Value { scan, text, .. } => {
                let fed = scan.feed(c);
                if matches!(fed, Fed::More | Fed::Done) {
                    text.push(c);
                }
                match fed {
                    Fed::Done => self.end_value(calls),
                    Fed::DoneBefore if self.end_value(calls) == Fed::More => self.feed(c, calls),
                    Fed::DoneBefore => Fed::Broken,
                    other => other,
                }
            }
            At::After => match c {
                ',' => self.go(At::Key { may_end: false }),
                '}' => self.close(calls),
                _ => Fed::Broken,
            },
        }
    }

    fn go(&mut self, at: At) -> Fed {
        self.at = at;
        Fed::More
    }

    fn go_if(&mut self, holds: bool, at: At) -> Fed {
        if holds { self.go(at) } else { Fed::Broken }
    }

    fn begin_value(&mut self, key: String, c: char, calls: &mut Calls) -> Fed {
        let mut scan = JsonScan::new();
        let fed = scan.feed(c);
        let are_arguments = self.argument_keys.contains(&key.as_str());
        if are_arguments && self.has_arguments || key == "name" && self.name.is_some() {
            return Fed::Broken;
        }
        if are_arguments && c == '{' {
            self.has_arguments = true;
            self.at = At::Arguments(scan);
            self.pass(c, calls);
            return Fed::More;
        }
        self.at = At::Value {
            key,
            scan,
            text: c.to_string(),
        };
        fed
    }

    fn end_value(&mut self, calls: &mut Calls) -> Fed {
        let At::Value { key, text, .. } = std::mem::replace(&mut self.at, At::After) else {
            return Fed::Broken;
        };
        if key == "name" {
            let Ok(name) = serde_json::from_str::<String>(&text) else {
                return Fed::Broken;
            };
            self.name = Some(name);
            if !self.begin(calls) {
                return Fed::Broken;
            }
            calls.arguments(&std::mem::take(&mut self.early));
            return Fed::More;
        }
        if self.argument_keys.contains(&key.as_str()) {
            // Some write the object as a string, or nothing for no arguments.
            let object = match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(serde_json::Value::Null) => "{}".to_owned(),
                Ok(serde_json::Value::String(inner)) => {
                    match serde_json::from_str::<serde_json::Value>(&inner) {
                        Ok(serde_json::Value::Object(_)) => inner,
                        _ => return Fed::Broken,
                    }
                }
                _ => return Fed::Broken,
            };
            self.has_arguments = true;
            for c in object.chars() {
                self.pass(c, calls);
            }
        }
        Fed::More
    }

    /// Hands arguments on, or keeps them until the name is known.
    fn pass(&mut self, c: char, calls: &mut Calls) {
        if self.has_begun {
            calls.arguments(c.encode_utf8(&mut [0; 4]));
        } else {
            self.early.push(c);
        }
    }

    /// Hands the name on, once. False where it is no tool's.
    fn begin(&mut self, calls: &mut Calls) -> bool {
        if !self.has_begun
            && let Some(name) = &self.name
        {
            self.has_begun = calls.begin(name);
        }
        self.has_begun
    }

    fn close(&mut self, calls: &mut Calls) -> Fed {
        if !self.begin(calls) {
            return Fed::Broken;
        }
        if !self.has_arguments {
            calls.arguments("{}");
        }
        Fed::Done
    }
}
