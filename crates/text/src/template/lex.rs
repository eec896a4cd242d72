//! A template's source to tokens, with Jinja's rules for white space around tags: `trim_blocks` and `lstrip_blocks`
//! on, one newline at the very end dropped.

use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Literal text between tags.
    Data(String),
    /// `{{` and `}}`
    EmitStart,
    EmitEnd,
    /// `{%` and `%}`
    TagStart,
    TagEnd,
    Name(String),
    Int(i128),
    Float(f64),
    Str(String),
    /// An operator or bracket.
    Op(&'static str),
}

/// A syntax error: what, and on which line.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: u32,
    pub(super) message: String,
}

pub(super) type Tokens = Vec<(Token, u32)>;

/// Longest name (bytes): every look-up reads the whole of it.
const MAX_NAME_BYTES: usize = 256;

/// Longest first, so that the first that fits is right.
const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}", "<", ">",
    "=", ".", ":", "|", ",", ";",
];

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Whether the text now being read begins a line.
    line_starting: bool,
    tokens: Tokens,
}

/// All tokens of a template.
pub(super) fn tokens(source: &str) -> Result<Tokens, SyntaxError> {
    let source = if source.contains('\r') {
        Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(source)
    };
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        line_starting: true,
        tokens: Vec::new(),
    };
    while lexer.at < source.len() {
        lexer.next_piece()?;
    }
    Ok(lexer.tokens)
}

/// How a tag opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Emit,
    Tag,
    Comment,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line: self.line,
            message: message.into(),
        })
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn advance(&mut self, len: usize) {
        let passed = &self.rest()[..len];
        self.line += passed.bytes().filter(|&byte| byte == b'\n').count() as u32;
        self.at += len;
    }

    /// Text up to the next tag, and the tag.
    fn next_piece(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let Some((len, opening)) = find_opening(rest) else {
            self.data(rest);
            self.advance(rest.len());
            return Ok(());
        };
        let sign = rest.as_bytes().get(len + 2).copied();
        self.data(self.strip_before(&rest[..len], opening, sign));
        self.advance(len + 2);
        if matches!(sign, Some(b'-' | b'+')) {
            // `{{+` is no sign but a plus; Jinja takes it as a sign all the same.
            self.advance(1);
        }
        match opening {
            Opening::Comment => self.comment(),
            Opening::Tag if self.raw_length().is_some() => self.raw(),
            Opening::Tag => self.expression(Token::TagStart, Token::TagEnd, "%}"),
            Opening::Emit => self.expression(Token::EmitStart, Token::EmitEnd, "}}"),
        }
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Token::Data(text.to_owned()));
        }
    }

    /// `text` without the white space that the tag after it takes away.
    fn strip_before<'t>(&self, text: &'t str, opening: Opening, sign: Option<u8>) -> &'t str {
        if sign == Some(b'-') {
            return text.trim_end();
        }
        if sign == Some(b'+') || opening == Opening::Emit {
            return text;
        }
        let line_start = text.rfind('\n').map_or(0, |at| at + 1);
        let blank = text[line_start..].chars().all(char::is_whitespace);
        if (line_start > 0 || self.line_starting) && blank {
            &text[..line_start]
        } else {
            text
        }
    }

    /// Passes the closing `mark` at `self.at + len`, with a sign before it and the white space after that it takes.
    fn close(&mut self, len: usize, mark: &str) {
        let before = &self.rest()[..len];
        let sign = before.bytes().next_back();
        self.advance(len + mark.len());
        let after = self.rest();
        let swallowed = match sign {
            Some(b'-') => after.len() - after.trim_start().len(),
            Some(b'+') => 0,
            _ if mark == "}}" => 0,
            _ => usize::from(after.starts_with('\n')),
        };
        self.line_starting = after[..swallowed].ends_with('\n');
        self.advance(swallowed);
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        match self.rest().find("#}") {
            Some(len) => {
                self.close(len, "#}");
                Ok(())
            }
            None => self.fail("a comment is not closed"),
        }
    }

    /// If this is `raw %}`, its length up to `%}`.
    fn raw_length(&self) -> Option<usize> {
        tag_length(self.rest(), "raw")
    }

    fn raw(&mut self) -> Result<(), SyntaxError> {
        let len = self.raw_length().unwrap_or(0);
        self.close(len, "%}");
        let rest = self.rest();
        let mut from = 0;
        while let Some(at) = rest[from..].find("{%").map(|at| at + from) {
            let sign = rest.as_bytes().get(at + 2).copied();
            let inner = at + 2 + usize::from(matches!(sign, Some(b'-' | b'+')));
            if let Some(len) = tag_length(&rest[inner..], "endraw") {
                self.data(self.strip_before(&rest[..at], Opening::Tag, sign));
                self.advance(inner);
                self.close(len, "%}");
                return Ok(());
            }
            from = at + 2;
        }
        self.fail("a raw block is not closed")
    }

    fn expression(&mut self, start: Token, end: Token, mark: &str) -> Result<(), SyntaxError> {
        self.push(start);
        let mut open = Vec::new();
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.advance(blank);
                continue;
            }
            if rest.is_empty() {
                return self.fail(format!("a tag is not closed with {mark}"));
            }
            if open.is_empty() {
                let sign = usize::from(rest.starts_with('-') || (rest.starts_with('+') && mark == "%}"));
                if rest[sign..].starts_with(mark) {
                    self.close(sign, mark);
                    self.push(end);
                    return Ok(());
                }
            }
            self.lexeme(&mut open)?;
        }
    }

    fn lexeme(&mut self, open: &mut Vec<&'static str>) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or('\0');
        if first.is_alphabetic() || first == '_' {
            let len = rest
                .find(|char: char| !char.is_alphanumeric() && char != '_')
                .unwrap_or(rest.len());
            if len > MAX_NAME_BYTES {
                return self.fail(format!(
                    "a name of {len} bytes, more than the {MAX_NAME_BYTES} allowed"
                ));
            }
            self.push(Token::Name(rest[..len].to_owned()));
            self.advance(len);
            return Ok(());
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first == '"' || first == '\'' {
            return self.string(first);
        }
        let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) else {
            return self.fail(format!("unexpected {first:?}"));
        };
        match op {
            "(" | "[" | "{" => open.push(op),
            ")" | "]" | "}" => match (open.pop(), op) {
                (Some("("), ")") | (Some("["), "]") | (Some("{"), "}") => {}
                _ => return self.fail(format!("unexpected '{op}'")),
            },
            _ => {}
        }
        self.push(Token::Op(op));
        self.advance(op.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let digits = |text: &str| {
            text.find(|char: char| !char.is_ascii_digit() && char != '_')
                .unwrap_or(text.len())
        };
        let mut len = digits(rest);
        let mut float = false;
        if rest[len..].starts_with('.') && rest[len + 1..].starts_with(|char: char| char.is_ascii_digit()) {
            len += 1 + digits(&rest[len + 1..]);
            float = true;
        }
        if rest[len..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[len + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[len + 1 + sign..]);
            if exponent > 0 {
                len += 1 + sign + exponent;
                float = true;
            }
        }
        let text = rest[..len].replace('_', "");
        let token = if float {
            text.parse().ok().map(Token::Float)
        } else {
            text.parse().ok().map(Token::Int)
        };
        let Some(token) = token else {
            return self.fail(format!("the number {text} is too large"));
        };
        self.push(token);
        self.advance(len);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            if char == quote {
                self.push(Token::Str(text));
                self.advance(at + 1);
                return Ok(());
            }
            if char != '\\' {
                text.push(char);
                continue;
            }
            let Some((_, escape)) = chars.next() else { break };
            let mut code = |n_digits: usize| {
                let digits: String = chars.by_ref().take(n_digits).map(|(_, char)| char).collect();
                u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                    .filter(|_| digits.len() == n_digits)
            };
            let unescaped = match escape {
                'n' => Some('\n'),
                't' => Some('\t'),
                'r' => Some('\r'),
                'a' => Some('\u{7}'),
                'b' => Some('\u{8}'),
                'f' => Some('\u{c}'),
                'v' => Some('\u{b}'),
                '0' => Some('\0'),
                '\\' | '\'' | '"' => Some(escape),
                '\n' => continue,
                'x' => code(2),
                'u' => code(4),
                'U' => code(8),
                _ => {
                    text.push('\\');
                    Some(escape)
                }
            };
            let Some(unescaped) = unescaped else {
                return self.fail("a string has a bad escape");
            };
            text.push(unescaped);
        }
        self.fail("a string is not closed")
    }
}

fn find_opening(text: &str) -> Option<(usize, Opening)> {
    let mut from = 0;
    loop {
        let at = text[from..].find('{')? + from;
        match text.as_bytes().get(at + 1) {
            Some(b'{') => return Some((at, Opening::Emit)),
            Some(b'%') => return Some((at, Opening::Tag)),
            Some(b'#') => return Some((at, Opening::Comment)),
            _ => from = at + 1,
        }
    }
}

/// The length up to `%}` of a tag that has only this name in it.
fn tag_length(text: &str, name: &str) -> Option<usize> {
    let inner = text.trim_start().strip_prefix(name)?;
    let after = inner.trim_start();
    let after = after.strip_prefix(['-', '+']).unwrap_or(after);
    after.starts_with("%}").then(|| text.len() - after.len())
}
