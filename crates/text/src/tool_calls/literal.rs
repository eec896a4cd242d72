//! Arguments in a language of their own, written on as JSON: Python's keyword arguments, and Gemma's braces.

use serde_json::Value;

use super::calls::Calls;
use super::json::Fed;

/// Lists and objects deeper than this are no arguments.
const MAX_DEPTH: usize = 64;
/// No word or number, and no name of an argument, is longer (bytes).
const MAX_WORD_BYTES: usize = 256;

/// The language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `a=1, b='x', c=[True, None], d={'k': 2})`
    Python,
    /// `a:1,b:<|"|>x<|"|>,c:[true],d:{k:2}}`
    Gemma,
}

/// Gemma's quotation mark, at both ends.
const GEMMA_QUOTE: &str = "<|\"|>";

impl Dialect {
    pub(super) fn marks(self) -> Vec<&'static str> {
        match self {
            Dialect::Python => Vec::new(),
            Dialect::Gemma => vec![GEMMA_QUOTE],
        }
    }

    fn words(self) -> [(&'static str, &'static str); 3] {
        match self {
            Dialect::Python => [("True", "true"), ("False", "false"), ("None", "null")],
            Dialect::Gemma => [("true", "true"), ("false", "false"), ("null", "null")],
        }
    }
}

/// Reads what stands after the opening bracket, the closing one included.
#[derive(Debug)]
pub(super) struct LiteralReader {
    dialect: Dialect,
    stack: Vec<Frame>,
    at: At,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    n_items: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The arguments themselves.
    Call,
    List,
    Dict,
}

#[derive(Debug)]
enum At {
    /// Before a key or an item; the end is allowed after a comma, too, as Python does.
    Item,
    /// Inside a bare key.
    Key(String),
    /// Inside Gemma's quotation mark.
    Quote(String, Role),
    Text(Text),
    /// After a quoted key.
    Colon,
    /// Before a value that must come.
    Value,
    Word(String),
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

#[derive(Debug)]
struct Text {
    role: Role,
    /// Python's quotation mark.
    quote: char,
    escape: Escape,
    /// What may be the beginning of Gemma's.
    tail: String,
}

#[derive(Debug)]
enum Escape {
    None,
    Begun,
    Hex { digits: String, n_digits: usize },
}

impl LiteralReader {
    pub(super) fn new(dialect: Dialect) -> LiteralReader {
        LiteralReader {
            dialect,
            stack: vec![Frame {
                kind: Kind::Call,
                n_items: 0,
            }],
            at: At::Item,
        }
    }

    pub(super) fn feed(&mut self, c: char, calls: &mut Calls) -> Fed {
        let is_space = c.is_ascii_whitespace();
        let closes = self.closing() == Some(c);
        match &mut self.at {
            At::Item | At::Colon | At::Value | At::After if is_space => Fed::More,
            At::Item if closes => self.close(calls),
            At::Item => self.item(c, calls),
            At::Key(key) => {
                let end = if self.dialect == Dialect::Python { '=' } else { ':' };
                if c == end && !key.is_empty() {
                    let key = std::mem::take(key);
                    self.write_key(key.trim_end(), calls);
                    return self.go(At::Value);
                }
                key.push(c);
                let is_sane = key.len() <= MAX_WORD_BYTES && !",(){}[]'\"\n".contains(c);
                if is_sane { Fed::More } else { Fed::Broken }
            }
            At::Quote(mark, role) => {
                mark.push(c);
                let role = *role;
                if mark == GEMMA_QUOTE {
                    return self.begin_text(role, ' ', calls);
                }
                let may_become = GEMMA_QUOTE.starts_with(mark.as_str());
                if may_become { Fed::More } else { Fed::Broken }
            }
            At::Text(text) => {
                let fed = match self.dialect {
                    Dialect::Python => text.feed_python(c, calls),
                    Dialect::Gemma => text.feed_gemma(c, calls),
                };
                match (fed, text.role) {
                    (Fed::Done, Role::Key) => self.go(At::Colon),
                    (Fed::Done, Role::Value) => self.go(At::After),
                    (other, _) => other,
                }
            }
            At::Colon => {
                calls.arguments(": ");
                self.go_if(c == ':', At::Value)
            }
            At::Value => self.value(c, calls),
            At::Word(word) => {
                if is_space || ",)]}".contains(c) {
                    let word = std::mem::take(word);
                    return self.end_word(&word, c, calls);
                }
                word.push(c);
                if word.len() <= MAX_WORD_BYTES {
                    Fed::More
                } else {
                    Fed::Broken
                }
            }
            At::After if c == ',' => self.go(At::Item),
            At::After if closes => self.close(calls),
            At::After => Fed::Broken,
        }
    }

    fn go(&mut self, at: At) -> Fed {
        self.at = at;
        Fed::More
    }

    fn go_if(&mut self, holds: bool, at: At) -> Fed {
        if holds { self.go(at) } else { Fed::Broken }
    }

    fn closing(&self) -> Option<char> {
        let kind = self.stack.last()?.kind;
        Some(match (kind, self.dialect) {
            (Kind::List, _) => ']',
            (Kind::Call, Dialect::Python) => ')',
            (Kind::Call, Dialect::Gemma) | (Kind::Dict, _) => '}',
        })
    }

    /// Writes what stands between the bracket or the last item and the next one.
    fn separate(&mut self, calls: &mut Calls) {
        let Some(frame) = self.stack.last_mut() else {
            return;
        };
        let is_first = frame.n_items == 0;
        frame.n_items += 1;
        calls.arguments(match (is_first, frame.kind) {
            (false, _) => ", ",
            (true, Kind::Call) => "{",
            (true, Kind::List | Kind::Dict) => "",
        });
    }

    fn close(&mut self, calls: &mut Calls) -> Fed {
        let Some(frame) = self.stack.pop() else {
            return Fed::Broken;
        };
        if frame.kind == Kind::Call && frame.n_items == 0 {
            calls.arguments("{");
        }
        calls.arguments(if frame.kind == Kind::List { "]" } else { "}" });
        if self.stack.is_empty() {
            return Fed::Done;
        }
        self.go(At::After)
    }

    fn item(&mut self, c: char, calls: &mut Calls) -> Fed {
        let Some(kind) = self.stack.last().map(|frame| frame.kind) else {
            return Fed::Broken;
        };
        self.separate(calls);
        match (kind, self.dialect) {
            (Kind::List, _) => self.value(c, calls),
            (Kind::Dict, Dialect::Python) if matches!(c, '"' | '\'') => self.begin_text(Role::Key, c, calls),
            (Kind::Dict, Dialect::Python) => Fed::Broken,
            (_, Dialect::Gemma) if c == '<' => self.go(At::Quote("<".to_owned(), Role::Key)),
            _ if c.is_alphanumeric() || c == '_' => self.go(At::Key(c.to_string())),
            _ => Fed::Broken,
        }
    }

    fn value(&mut self, c: char, calls: &mut Calls) -> Fed {
        let kind = match (c, self.dialect) {
            ('"' | '\'', Dialect::Python) => return self.begin_text(Role::Value, c, calls),
            ('<', Dialect::Gemma) => return self.go(At::Quote("<".to_owned(), Role::Value)),
            ('[', _) => Kind::List,
            ('{', _) => Kind::Dict,
            _ if c.is_ascii_alphanumeric() || c == '-' => return self.go(At::Word(c.to_string())),
            _ => return Fed::Broken,
        };
        if self.stack.len() == MAX_DEPTH {
            return Fed::Broken;
        }
        self.stack.push(Frame { kind, n_items: 0 });
        calls.arguments(if kind == Kind::List { "[" } else { "{" });
        self.go(At::Item)
    }

    fn begin_text(&mut self, role: Role, quote: char, calls: &mut Calls) -> Fed {
        calls.arguments("\"");
        self.go(At::Text(Text {
            role,
            quote,
            escape: Escape::None,
            tail: String::new(),
        }))
    }

    fn write_key(&self, key: &str, calls: &mut Calls) {
        calls.arguments(&format!("{}: ", Value::from(key)));
    }

    /// A word ended before `c`.
    fn end_word(&mut self, word: &str, c: char, calls: &mut Calls) -> Fed {
        if !self.write_word(word, calls) {
            return Fed::Broken;
        }
        self.at = At::After;
        self.feed(c, calls)
    }

    fn write_word(&self, word: &str, calls: &mut Calls) -> bool {
        let json = self.dialect.words().into_iter().find(|(own, _)| *own == word);
        let is_number = || serde_json::from_str::<serde_json::Number>(word).is_ok();
        match json {
            Some((_, json)) => calls.arguments(json),
            None if is_number() => calls.arguments(word),
            None => return false,
        }
        true
    }
}

impl Text {
    fn feed_python(&mut self, c: char, calls: &mut Calls) -> Fed {
        match &mut self.escape {
            Escape::None if c == self.quote => {
                calls.arguments("\"");
                return Fed::Done;
            }
            Escape::None if c == '\\' => self.escape = Escape::Begun,
            Escape::None if c == '\n' => return Fed::Broken,
            Escape::None => write_text(c, calls),
            Escape::Begun => {
                let n_digits = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 0,
                };
                if n_digits > 0 {
                    let digits = String::new();
                    self.escape = Escape::Hex { digits, n_digits };
                    return Fed::More;
                }
                self.escape = Escape::None;
                match c {
                    'n' => write_text('\n', calls),
                    't' => write_text('\t', calls),
                    'r' => write_text('\r', calls),
                    '\\' | '\'' | '"' => write_text(c, calls),
                    // Python keeps the backslash of what is no escape.
                    _ => {
                        write_text('\\', calls);
                        write_text(c, calls);
                    }
                }
            }
            Escape::Hex { digits, n_digits } => {
                if !c.is_ascii_hexdigit() {
                    return Fed::Broken;
                }
                digits.push(c);
                if digits.len() == *n_digits {
                    calls.arguments(&format!("\\u{digits:0>4}"));
                    self.escape = Escape::None;
                }
            }
        }
        Fed::More
    }

    fn feed_gemma(&mut self, c: char, calls: &mut Calls) -> Fed {
        self.tail.push(c);
        if let Some(rest) = self.tail.strip_suffix(GEMMA_QUOTE) {
            for c in rest.chars() {
                write_text(c, calls);
            }
            calls.arguments("\"");
            return Fed::Done;
        }
        while !GEMMA_QUOTE.starts_with(self.tail.as_str()) {
            write_text(self.tail.remove(0), calls);
        }
        Fed::More
    }
}

fn write_text(c: char, calls: &mut Calls) {
    let quoted = Value::from(c.encode_utf8(&mut [0; 4]) as &str).to_string();
    calls.arguments(&quoted[1..quoted.len() - 1]);
}
