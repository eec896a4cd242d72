//! JSON, character by character: is this still a value, and where does it end?

/// Arrays and objects deeper than this are no arguments.
const MAX_DEPTH: usize = 64;

/// What one character did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// It belongs to the value, which goes on.
    More,
    /// It is the value's last.
    Done,
    /// The value (a number) ended before it.
    DoneBefore,
    /// With it, this is no JSON.
    Broken,
}

/// Follows one JSON value. Whitespace before it is part of it.
#[derive(Debug, Clone)]
pub(super) struct JsonScan {
    stack: Vec<Inside>,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Array,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Value,
    /// A value, or the end of the array.
    FirstItem,
    /// A key, or the end of the object.
    FirstKey,
    Key,
    Colon,
    /// A comma or the end.
    After,
    Text {
        is_key: bool,
    },
    Escape {
        is_key: bool,
    },
    /// So many hexadecimal digits are missing.
    Hex {
        is_key: bool,
        n_missing: u8,
    },
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    fn next(self, c: char) -> Option<Number> {
        use Number::{Exponent, ExponentDigits, ExponentSign, Fraction, Minus, Point, Whole, Zero};
        let is_digit = c.is_ascii_digit();
        match (self, c) {
            (Minus, '0') => Some(Zero),
            (Minus | Whole, _) if is_digit => Some(Whole),
            (Zero | Whole, '.') => Some(Point),
            (Point | Fraction, _) if is_digit => Some(Fraction),
            (Zero | Whole | Fraction, 'e' | 'E') => Some(Exponent),
            (Exponent, '+' | '-') => Some(ExponentSign),
            (Exponent | ExponentSign | ExponentDigits, _) if is_digit => Some(ExponentDigits),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(
            self,
            Number::Zero | Number::Whole | Number::Fraction | Number::ExponentDigits
        )
    }
}

impl JsonScan {
    pub(super) fn new() -> JsonScan {
        JsonScan {
            stack: Vec::new(),
            at: At::Value,
        }
    }

    pub(super) fn feed(&mut self, c: char) -> Fed {
        match self.at {
            At::Value | At::FirstItem | At::FirstKey | At::Key | At::Colon | At::After
                if matches!(c, ' ' | '\t' | '\n' | '\r') =>
            {
                Fed::More
            }
            At::FirstItem if c == ']' => self.close(),
            At::FirstKey if c == '}' => self.close(),
            At::Value | At::FirstItem => self.begin(c),
            At::FirstKey | At::Key => self.go_if(c == '"', At::Text { is_key: true }),
            At::Colon => self.go_if(c == ':', At::Value),
            At::After => match (self.stack.last(), c) {
                (Some(Inside::Array), ',') => self.go(At::Value),
                (Some(Inside::Object), ',') => self.go(At::Key),
                (Some(Inside::Array), ']') | (Some(Inside::Object), '}') => self.close(),
                _ => Fed::Broken,
            },
            At::Text { is_key } => match c {
                '"' if is_key => self.go(At::Colon),
                '"' => self.end_value(),
                '\\' => self.go(At::Escape { is_key }),
                c if c < ' ' => Fed::Broken,
                _ => Fed::More,
            },
            At::Escape { is_key } => match c {
                'u' => self.go(At::Hex { is_key, n_missing: 4 }),
                _ => self.go_if("\"\\/bfnrt".contains(c), At::Text { is_key }),
            },
            At::Hex { is_key, n_missing } => {
                let next = match n_missing {
                    1 => At::Text { is_key },
                    _ => At::Hex {
                        is_key,
                        n_missing: n_missing - 1,
                    },
                };
                self.go_if(c.is_ascii_hexdigit(), next)
            }
            At::Number(number) => self.number(number, c),
            At::Word(rest) => match rest.strip_prefix(c) {
                Some("") => self.end_value(),
                Some(rest) => self.go(At::Word(rest)),
                None => Fed::Broken,
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

    fn begin(&mut self, c: char) -> Fed {
        match c {
            '{' => self.open(Inside::Object, At::FirstKey),
            '[' => self.open(Inside::Array, At::FirstItem),
            '"' => self.go(At::Text { is_key: false }),
            't' => self.go(At::Word("rue")),
            'f' => self.go(At::Word("alse")),
            'n' => self.go(At::Word("ull")),
            '-' => self.go(At::Number(Number::Minus)),
            '0' => self.go(At::Number(Number::Zero)),
            '1'..='9' => self.go(At::Number(Number::Whole)),
            _ => Fed::Broken,
        }
    }

    fn open(&mut self, inside: Inside, at: At) -> Fed {
        if self.stack.len() == MAX_DEPTH {
            return Fed::Broken;
        }
        self.stack.push(inside);
        self.go(at)
    }

    fn close(&mut self) -> Fed {
        self.stack.pop();
        self.end_value()
    }

    fn end_value(&mut self) -> Fed {
        if self.stack.is_empty() {
            return Fed::Done;
        }
        self.go(At::After)
    }

    fn number(&mut self, number: Number, c: char) -> Fed {
        if let Some(next) = number.next(c) {
            return self.go(At::Number(next));
        }
        if !number.may_end() {
            return Fed::Broken;
        }
        match self.end_value() {
            Fed::Done => Fed::DoneBefore,
            _ => self.feed(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether all of it is one value, by the slow way of a whole parser.
    fn is_json(text: &str) -> bool {
        let mut scan = JsonScan::new();
        for (idx, c) in text.char_indices() {
            match scan.feed(c) {
                Fed::More => {}
                Fed::Done => return idx + c.len_utf8() == text.len(),
                Fed::DoneBefore | Fed::Broken => return false,
            }
        }
        // Only a number is complete without saying so.
        scan.stack.is_empty() && matches!(scan.at, At::Number(number) if number.may_end())
    }

    #[test]
    fn it_agrees_with_a_whole_parser() {
        let texts = r#"1 0 -0 01 1. 1.5 .5 1e5 1e 1E+07 -1.5e-3 - true tru nul null false "a" "a\nb" "\u00e9" "\u00g0" "\x" " "a
            {} {"a":1} {"a":1,} {"a" :[1,2, {"b": null}]} {a:1} [] [1,] [,1] [1 2] [[[]]] [[] {"a":{"b":{"c":"}"}}} {"a":1}} {"a":1 "b":2}"#;
        for text in
            texts
                .split_whitespace()
                .chain(["{\"a\" : [ 1 , 2 ] }", "\"tab\tin text\"", "", "\"\\\"\""])
        {
            let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(is_json(text), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(&nested(MAX_DEPTH)));
        assert!(!is_json(&nested(MAX_DEPTH + 1)));
    }
}
